// The simulated world as a `Kernel`: the verbs of the protocol, each handed on to the law that it falls under. See
// `SimulatedWorld`.

import Glibc
public import IOUring

/// A `Kernel` whose world is a `SimulatedWorld`.
public struct SimulatedKernel: Kernel, ~Copyable {
  private let world: SimulatedWorld

  public init(_ world: SimulatedWorld) { self.world = world }

  // MARK: The turn

  public var now: UInt64 { world.shownClock }
  public mutating func readClock() { world.readClock() }
  public func wallClockSeconds() -> Int64 { 1_700_000_000 + Int64(world.shownClock / 1_000_000_000) }
  public mutating func wait(until deadline: UInt64) { world.wait(until: deadline) }
  public mutating func submit() {}
  public mutating func nextCompletion() -> Completion? { world.nextCompletion() }

  // MARK: Operations that complete later

  public mutating func submitAccept(_ listener: Descriptor, multishot: Bool, token: Token) {
    world.submit(listener, token, .accept(multishot: multishot))
  }

  public mutating func submitConnect(
    _ socket: Descriptor, address: UnsafeRawPointer, length: UInt32, token: Token
  ) {
    world.submit(socket, token, .connect(address: AddressText.decode(address, length: length)))
  }

  public mutating func submitReceive(_ socket: Descriptor, expectsData: Bool, token: Token) {
    world.submit(socket, token, .receive, expectsData: expectsData)
  }

  public mutating func submitReceive(
    _ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token
  ) {
    world.submit(socket, token, .receiveInto(buffer))
  }

  public mutating func submitSend(
    _ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token
  ) {
    world.submit(socket, token, .send(bytes, mode))
  }

  public mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {
    world.submit(descriptor, token, .poll(readiness))
  }

  public mutating func submitCancel(_ target: Token, on descriptor: Descriptor) {
    world.submit(.none, Token(rawValue: 0), .cancel(target, on: descriptor))
  }

  // MARK: Provided receive buffers

  public var receiveBufferSize: Int { world.bufferSize }
  public var receiveBufferCount: Int { world.bufferCount }

  public func receiveBuffer(_ buffer: BufferID) -> UnsafeMutableRawPointer {
    world.bufferMemory + Int(buffer.rawValue) * world.bufferSize
  }

  public mutating func recycle(_ buffer: BufferID) { world.recycle(buffer) }

  // MARK: Operations that happen now

  public mutating func acceptNow(_ listener: Descriptor) -> Int32 { world.acceptNow(listener) }
  public mutating func stopQueueing(_ listener: Descriptor) { world.stopQueueing(listener) }
  public mutating func hearAgain(_ socket: Descriptor) { world.stream(socket)?.isDeaf = false }
  public mutating func openSocket(family: Int32) -> Int32 { world.openSocket(family: family) }
  public mutating func configureStream(_ socket: Descriptor) {}
  public mutating func keepAlive(_ socket: Descriptor) {}
  public mutating func sendUnpaced(_ socket: Descriptor) {}
  public mutating func sendHeldBack(_ socket: Descriptor) { world.stream(socket)?.sendHeldBack() }

  public mutating func peerAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    guard let stream = world.stream(socket), let peer = stream.peer, !stream.resetArrived else { return -ENOTCONN }
    AddressText.encode(SimulatedWorld.clientAddress(peer), into: storage)
    return 0
  }

  public mutating func localAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    AddressText.encode("10.0.0.1:15006", into: storage)
    return 0
  }

  public mutating func originalDestination(
    _ socket: Descriptor, isIPv6: Bool, into storage: UnsafeMutableRawBufferPointer
  ) -> Int32 {
    AddressText.encode("10.9.9.9:9999", into: storage)
    return 0
  }

  public mutating func openPipe(capacity: Int) -> Result<Pipe, KernelError> { world.openPipe(capacity: capacity) }

  public mutating func splice(from: Descriptor, to: Descriptor, count: Int) -> Int {
    world.splice(from: from, to: to, count: count)
  }

  public mutating func deliveredBytes(_ socket: Descriptor) -> UInt64? {
    world.stream(socket)?.deliveredCount.map(UInt64.init)
  }

  public mutating func isReadable(_ socket: Descriptor) -> Bool { world.isReadable(socket) }

  public mutating func shutdown(_ socket: Descriptor, _ direction: ShutdownDirection) -> Int32 {
    let result = world.stream(socket)?.finish() ?? -ENOTSOCK
    if direction == .both, result == 0 { world.stream(socket)?.stopReading() }
    world.trace("shutdown", Int(socket.rawValue), Int(result))
    return result
  }

  public mutating func close(_ descriptor: Descriptor) { world.close(descriptor) }

  public mutating func resetOnClose(_ socket: Descriptor) { world.resetOnClose(socket) }

  public mutating func discardInput(_ socket: Descriptor) { world.stream(socket)?.discardArrived() }

  public mutating func notify(_ event: Descriptor) { EventDescriptor.notify(event) }
  public mutating func acknowledge(_ event: Descriptor) { EventDescriptor.acknowledge(event) }
}

extension SimulatedWorld {
  /// What getpeername(2) tells of a client: an address of its own for each.
  public static func clientAddress(_ client: SimulatedStream) -> String {
    "10.1.\(client.id / 60_000).1:\(1_024 + client.id % 60_000)"
  }

  func acceptNow(_ descriptor: Descriptor) -> Int32 {
    guard case .listener(let listener) = object(descriptor)?.kind else { return -EBADF }
    let stream = listener.queue.first
    let accepted = accept(listener)
    if accepted >= 0 { acceptedLast = stream?.peer }
    trace("accept now", Int(descriptor.rawValue), Int(accepted))
    return accepted
  }

  func stopQueueing(_ descriptor: Descriptor) {
    guard case .listener(let listener) = object(descriptor)?.kind else { return }
    listener.isOpen = false
  }

  func recycle(_ buffer: BufferID) {
    trace("recycle", Int(buffer.rawValue))
    let index = Int(buffer.rawValue)
    guard bufferIsOut[index] else {
      violation("buffer \(index) is recycled, but the kernel has it")
      return
    }
    bufferIsOut[index] = false
    freeBuffers.append(buffer.rawValue)
    // Whoever still sends from it shall be found out by the receiver.
    (bufferMemory + index * bufferSize).initializeMemory(as: UInt8.self, repeating: 0xdd, count: bufferSize)
  }
}
