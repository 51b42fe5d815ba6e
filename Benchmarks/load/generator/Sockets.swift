// Many sockets on one ring, as the loads and the origin need them: each has a slot, at most one receive and one send in
// flight, and two buffers of its own, so that no load waits for another's. The ring's provided buffers stay unused for
// the same reason.

import Glibc
import IOUring

/// What happened to a socket.
struct SocketEvent {
  enum Kind {
    /// A connection attempt has ended: 0 or `-errno`.
    case connected
    /// A connection has arrived in a fresh slot. Its result is void.
    case accepted
    /// Bytes, 0 at end of stream, or `-errno`.
    case received
    /// Everything was sent (the number of bytes), or `-errno`.
    case sent
  }

  var slot: Int
  var kind: Kind
  var result: Int
}

/// The sockets of one process, on one thread.
struct Sockets: ~Copyable {
  private var ring: Ring
  private let listener: Descriptor
  private let states: UnsafeMutablePointer<State>
  private let memory: UnsafeMutableRawPointer
  private let bufferBytes: Int
  private let capacity: Int
  /// Slots that were never used start here; those that were are in `freeSlots`.
  private var unusedSlot = 0
  private var freeSlots: [Int] = []

  /// What the ring completes; zero is no token. A receive waits for bytes, unless the last one left some, and a send that
  /// comes short for room.
  private enum Step: UInt64 {
    case connected = 1
    case accepted, readable, received, writable, sent
  }

  private struct State {
    var descriptor = Descriptor.none
    /// What is left of the send in flight.
    var unsent = UnsafeRawBufferPointer(start: nil, count: 0)
    var sendBytes = 0
    /// Where the receive in flight puts its bytes.
    var room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// The last receive left bytes in the socket.
    var hasMore = false
    var isSending = false
    var isReceiving = false
    var isClosing = false
  }

  /// - Parameters:
  ///   - capacity: slots, each for one socket.
  ///   - bufferBytes: size of the two buffers of each slot; address space, resident from first use.
  ///   - listener: a listening socket whose connections take slots as they arrive.
  init(capacity: Int, bufferBytes: Int, listener: Descriptor = .none) throws {
    var options = RingOptions()
    options.submissionEntries = 4_096
    options.completionEntries = 32_768
    options.receiveBufferSize = 4_096
    options.receiveBufferCount = 2
    var ring = try Ring(options: options)
    try ring.enable()
    let mapping = mmap(
      nil, capacity * Sockets.stride(bufferBytes), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapping, mapping != MAP_FAILED else { throw LoadError("no address space for \(capacity) sockets") }
    if listener.isOpen { ring.submitAccept(listener, multishot: true, token: Sockets.token(0, .accepted)) }
    self.ring = ring
    self.capacity = capacity
    self.bufferBytes = bufferBytes
    self.listener = listener
    memory = mapping
    states = .allocate(capacity: capacity)
    states.initialize(repeating: State(), count: capacity)
  }

  deinit {
    for slot in 0..<unusedSlot where states[slot].descriptor.isOpen {
      _ = Glibc.close(states[slot].descriptor.rawValue)
    }
    munmap(memory, capacity * Sockets.stride(bufferBytes))
    states.deallocate()
  }

  // MARK: Slots

  /// A slot for a new socket.
  mutating func takeSlot() -> Int {
    if let slot = freeSlots.popLast() { return slot }
    precondition(unusedSlot < capacity, "more sockets than slots")
    unusedSlot += 1
    return unusedSlot - 1
  }

  func sendBuffer(_ slot: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: memory + slot * Sockets.stride(bufferBytes), count: bufferBytes)
  }

  func receiveBuffer(_ slot: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: memory + slot * Sockets.stride(bufferBytes) + bufferBytes, count: bufferBytes)
  }

  // MARK: Operations

  /// Starts a connection from a slot that has none.
  mutating func connect(_ slot: Int, to address: LoopbackAddress) throws {
    let descriptor = Descriptor(rawValue: ring.openSocket(family: AF_INET))
    guard descriptor.isOpen else { throw LoadError("socket: \(errorText(descriptor.rawValue))") }
    StreamOptions.apply(to: descriptor)
    states[slot] = State(descriptor: descriptor)
    ring.submitConnect(
      descriptor, address: address.pointer, length: address.length, token: Sockets.token(slot, .connected))
  }

  /// Sends bytes that stay untouched until the event.
  mutating func send(_ slot: Int, _ bytes: UnsafeRawBufferPointer) {
    states[slot].unsent = bytes
    states[slot].sendBytes = bytes.count
    states[slot].isSending = true
    submitSend(slot)
  }

  mutating func receive(_ slot: Int, into bytes: UnsafeMutableRawBufferPointer) {
    states[slot].room = bytes
    states[slot].isReceiving = true
    if states[slot].hasMore { submitReceive(slot) } else { awaitBytes(slot) }
  }

  private mutating func submitSend(_ slot: Int) {
    ring.submitSend(
      states[slot].descriptor, states[slot].unsent, mode: .immediate, token: Sockets.token(slot, Step.sent))
  }

  private mutating func awaitRoom(_ slot: Int) {
    ring.submitPoll(states[slot].descriptor, for: .writable, token: Sockets.token(slot, Step.writable))
  }

  private mutating func submitReceive(_ slot: Int) {
    ring.submitReceive(states[slot].descriptor, into: states[slot].room, token: Sockets.token(slot, Step.received))
  }

  private mutating func awaitBytes(_ slot: Int) {
    ring.submitPoll(states[slot].descriptor, for: .readable, token: Sockets.token(slot, Step.readable))
  }

  /// Closes a socket as soon as nothing is in flight; no more events come from it. Its slot is free afterwards.
  mutating func close(_ slot: Int) {
    states[slot].isClosing = true
    // Ends a receive or send that would wait for ever.
    if states[slot].isSending || states[slot].isReceiving { _ = ring.shutdown(states[slot].descriptor, .both) }
    closeIfQuiet(slot)
  }

  // MARK: The turn

  /// Hands over what was submitted, and waits for an event or for a moment of `monotonicNanoseconds()`.
  mutating func wait(until deadline: UInt64 = .max) { ring.wait(until: deadline) }

  /// The next event of this turn.
  mutating func next() -> SocketEvent? {
    while let completion = ring.nextCompletion() {
      let slot = Int(completion.token.rawValue >> 3)
      switch Step(rawValue: completion.token.rawValue & 7)! {
      case .accepted:
        if completion.isFinal {
          ring.submitAccept(listener, multishot: true, token: Sockets.token(0, .accepted))
        }
        // Out of descriptors, or a connection that was reset in the queue: the client sees it.
        guard completion.result >= 0 else { continue }
        let slot = takeSlot()
        states[slot] = State(descriptor: Descriptor(rawValue: completion.result))
        return SocketEvent(slot: slot, kind: .accepted, result: 0)
      case .connected:
        return SocketEvent(slot: slot, kind: .connected, result: Int(completion.result))
      case .readable where !states[slot].isClosing:
        submitReceive(slot)
      case .received where completion.result == -EAGAIN && !states[slot].isClosing:
        awaitBytes(slot)
      case .readable, .received:
        states[slot].isReceiving = false
        states[slot].hasMore = completion.flags.contains(.socketNonEmpty)
        if closeIfQuiet(slot) { continue }
        return SocketEvent(slot: slot, kind: .received, result: Int(completion.result))
      case .writable where !states[slot].isClosing:
        submitSend(slot)
      case .sent where isShort(completion.result, of: states[slot].unsent.count) && !states[slot].isClosing:
        let taken = Int(max(completion.result, 0))
        states[slot].unsent = UnsafeRawBufferPointer(rebasing: states[slot].unsent[taken...])
        awaitRoom(slot)
      case .writable, .sent:
        states[slot].isSending = false
        if closeIfQuiet(slot) { continue }
        let result = completion.result < 0 ? Int(completion.result) : states[slot].sendBytes
        return SocketEvent(slot: slot, kind: .sent, result: result)
      }
    }
    return nil
  }

  // MARK: Helpers

  /// Whether the socket is one that is being closed.
  @discardableResult
  private mutating func closeIfQuiet(_ slot: Int) -> Bool {
    guard states[slot].isClosing else { return false }
    if !states[slot].isSending, !states[slot].isReceiving, states[slot].descriptor.isOpen {
      ring.close(states[slot].descriptor)
      states[slot].descriptor = .none
      freeSlots.append(slot)
    }
    return true
  }

  /// Whether a send has left something to be sent when there is room.
  private func isShort(_ result: Int32, of count: Int) -> Bool {
    result == -EAGAIN || (result >= 0 && Int(result) < count)
  }

  private static func token(_ slot: Int, _ step: Step) -> Token { Token(rawValue: UInt64(slot) << 3 | step.rawValue) }

  /// Bytes from one slot's buffers to the next one's. An odd number of cache lines more than the buffers, since
  /// buffers at equal offsets of big powers of two would all compete for the same few ways of the cache.
  private static func stride(_ bufferBytes: Int) -> Int { 2 * bufferBytes + 17 * 64 }
}
