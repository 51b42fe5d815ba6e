// Receives into the shared buffers on a ring. Each socket that receives is watched by one multishot poll for as long as
// it is open, and recv(2) takes what the poll has announced. IORING_OP_RECV would put a wait entry on the socket and take
// it off again for every message, which is dearer than the call; its multishot form takes buffers for as long as there
// are bytes, whether anybody wants them or not. ADR 5 has the figures.

import CIOUring
import Glibc

/// One socket's receives. All zero bits is the state of a descriptor that was never seen.
struct SocketState {
  /// The receive that waits for bytes; zero is none.
  var waiting: UInt64
  /// Counts the closes of this number, so that a completion of an earlier owner is told from one of the present.
  var generation: UInt32
  var contents: Contents
  var watch: Watch
  /// Announcements in a row that nobody waited for.
  var unwanted: UInt8
  /// The receive that waits is to end.
  var isCancelled: Bool

  /// What is known of the receive queue.
  enum Contents: UInt8 {
    /// Nothing: recv(2) has to be asked.
    case unknown
    /// It is empty, and the watch will tell of a change.
    case drained
    /// Bytes have come since it was empty, and nothing else: a receive that comes short takes all of them.
    case bytes
    /// The peer has finished: a receive that comes short most likely takes the last bytes.
    case ending
  }

  enum Watch: UInt8 {
    case none, armed
    /// It was asked to end and has not completed.
    case ending
  }
}

extension Ring {
  /// Announcements in a row that nobody waits for until a watch is taken off: the socket's bytes go another way.
  private static var unwantedMax: UInt8 { 4 }

  /// What a watch asks for. POLLRDBAND tells how an answer came about: see `note`.
  private static var watchEvents: Int32 { POLLIN | POLLPRI | POLLRDBAND | SIDECAR_POLLRDHUP }

  /// recv(2), in the next turn or when the socket's watch tells of bytes. What the caller expects is known here.
  public mutating func submitReceive(_ socket: Descriptor, expectsData: Bool, token: Token) {
    guard let state = sockets.pointer(to: socket.rawValue) else {
      refuseReceive(token)
      return
    }
    precondition(state.pointee.waiting == 0, "descriptor \(socket.rawValue) has two receives")
    state.pointee.waiting = token.rawValue
    if state.pointee.watch == .none {
      arm(socket, state)
    } else if state.pointee.contents != .drained {
      announce(socket, state)
    }
  }

  /// Whether the token was that of a receive that waits.
  mutating func cancelReceive(_ target: Token, on socket: Descriptor) -> Bool {
    guard let state = sockets.pointer(to: socket.rawValue), state.pointee.waiting == target.rawValue else {
      return false
    }
    state.pointee.isCancelled = true
    announce(socket, state)
    return true
  }

  /// Takes the watch off, so that the ring doesn't keep the socket open, and forgets what was known of it.
  mutating func forget(_ socket: Descriptor) {
    guard let state = sockets.pointer(to: socket.rawValue) else { return }
    precondition(state.pointee.waiting == 0, "descriptor \(socket.rawValue) is closed under a receive")
    // A page that nothing was ever written to costs no memory.
    guard state.pointee.watch != .none || state.pointee.contents != .unknown else { return }
    if state.pointee.watch == .armed { disarm(socket, state) }
    let generation = state.pointee.generation &+ 1
    state.pointee = SocketState(
      waiting: 0, generation: generation, contents: .unknown, watch: .none, unwanted: 0, isCancelled: false)
  }

  // MARK: Announcements

  /// Something was announced of a socket: by its watch, or by `announce`. Completes the receive that waits, if that can be.
  mutating func takeAnnouncement(_ token: WatchToken, result: Int32, isFinal: Bool) -> Completion? {
    guard let state = sockets.pointer(to: token.socket.rawValue), token.isOf(state.pointee) else { return nil }
    // A no-operation reports zero, a poll events or an error.
    if result != 0 {
      if isFinal { state.pointee.watch = .none }
      if result > 0 { note(result, state) }
    }
    guard state.pointee.waiting != 0 else {
      unwanted(token.socket, state)
      return nil
    }
    if state.pointee.isCancelled { return complete(state, -ECANCELED) }
    if result < 0 && result != -ECANCELED { return complete(state, result) }
    return receive(token.socket, state)
  }

  /// Notes what a poll has reported. A poll that was woken once reports what the socket passed along with the wake-up: for
  /// bytes of any kind that is POLLIN, POLLPRI and POLLRDBAND (sock_def_readable in net/core/sock.c). One that was woken
  /// for another reason or more often looks at the socket, which never has POLLRDBAND: then POLLPRI means urgent data, at
  /// which a receive stops early (RFC 9293 section 3.8.5), and POLLRDHUP that the end follows the bytes.
  private func note(_ events: Int32, _ state: UnsafeMutablePointer<SocketState>) {
    let isWakeUp = events & POLLRDBAND != 0
    let besides = isWakeUp ? 0 : POLLPRI
    if events & (POLLHUP | POLLERR | besides) != 0 {
      state.pointee.contents = .unknown
    } else if events & SIDECAR_POLLRDHUP != 0 {
      state.pointee.contents = .ending
    } else if !isWakeUp || state.pointee.contents == .drained {
      state.pointee.contents = .bytes
    } else {
      // Of two wake-ups that were not looked into, one can have been for urgent data.
      state.pointee.contents = .unknown
    }
  }

  /// Bytes that nobody receives: for a moment, or because they are spliced. Then each arrival would cost a completion.
  private mutating func unwanted(_ socket: Descriptor, _ state: UnsafeMutablePointer<SocketState>) {
    guard state.pointee.watch == .armed else { return }
    state.pointee.unwanted &+= 1
    if state.pointee.unwanted >= Ring.unwantedMax {
      disarm(socket, state)
      state.pointee.watch = .ending
      state.pointee.contents = .unknown
    }
  }

  // MARK: The receive

  /// The attempt; nil if there was nothing, and the receive goes on waiting.
  private mutating func receive(_ socket: Descriptor, _ state: UnsafeMutablePointer<SocketState>) -> Completion? {
    let isEnding = state.pointee.contents == .ending
    guard let (result, flags) = receiveBuffers.receive(from: socket.rawValue, isEnding: isEnding) else {
      return wait(socket, state)
    }
    if !isEnding, flags.contains(.socketNonEmpty) {
      state.pointee.contents = .unknown
    } else if result > 0, state.pointee.contents == .bytes {
      state.pointee.contents = .drained
    }
    return complete(state, result, flags)
  }

  private mutating func wait(_ socket: Descriptor, _ state: UnsafeMutablePointer<SocketState>) -> Completion? {
    state.pointee.contents = .drained
    // The last completion of a watch that is ending comes here once more.
    if state.pointee.watch == .none { arm(socket, state) }
    return nil
  }

  private func complete(
    _ state: UnsafeMutablePointer<SocketState>, _ result: Int32, _ flags: Completion.Flags = []
  ) -> Completion {
    defer {
      state.pointee.waiting = 0
      state.pointee.unwanted = 0
      state.pointee.isCancelled = false
    }
    return Completion(token: Token(rawValue: state.pointee.waiting), result: result, flags: flags)
  }

  // MARK: Submissions

  /// IORING_OP_POLL_ADD, multishot. It tells of bytes that are there already.
  private mutating func arm(_ socket: Descriptor, _ state: UnsafeMutablePointer<SocketState>) {
    let entry = submissionEntry()
    io_uring_prep_poll_multishot(entry, socket.rawValue, UInt32(bitPattern: Ring.watchEvents))
    entry.pointee.user_data = WatchToken(socket, state.pointee).rawValue
    state.pointee.watch = .armed
    state.pointee.contents = .drained
  }

  /// IORING_OP_ASYNC_CANCEL.
  private mutating func disarm(_ socket: Descriptor, _ state: UnsafeMutablePointer<SocketState>) {
    submitSilentCancel(WatchToken(socket, state.pointee).rawValue)
  }

  /// IORING_OP_NOP: has the next turn look at the receive that waits.
  private mutating func announce(_ socket: Descriptor, _ state: UnsafeMutablePointer<SocketState>) {
    let entry = submissionEntry()
    io_uring_prep_nop(entry)
    entry.pointee.user_data = WatchToken(socket, state.pointee).rawValue
  }

  /// A number that can't be a descriptor of this process.
  private mutating func refuseReceive(_ token: Token) {
    let entry = submissionEntry()
    io_uring_prep_recv(entry, -1, nil, 0, 0)
    entry.pointee.user_data = token.rawValue
  }
}

/// Marks the completions of a socket's watch: a token of the kernel's own, whose uppermost byte is all ones.
struct WatchToken {
  var rawValue: UInt64

  private static var generationMask: UInt32 { 0xff_ffff }
  private static var mark: UInt64 { 0xff << 56 }

  init(rawValue: UInt64) { self.rawValue = rawValue }

  init(_ socket: Descriptor, _ state: SocketState) {
    rawValue =
      WatchToken.mark | UInt64(state.generation & WatchToken.generationMask) << 32
      | UInt64(UInt32(bitPattern: socket.rawValue))
  }

  var socket: Descriptor { Descriptor(rawValue: Int32(truncatingIfNeeded: rawValue)) }

  /// Whether it is of the descriptor's present owner.
  func isOf(_ state: SocketState) -> Bool {
    UInt32(truncatingIfNeeded: rawValue >> 32) & WatchToken.generationMask
      == state.generation & WatchToken.generationMask
  }
}
