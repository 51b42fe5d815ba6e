// A kernel that a test plays by hand: it does nothing by itself, reports every call to its `Script`, and answers what
// the script says. For tests that pin down one transition of the worker, call by call.

import Glibc
public import IOUring

/// A `Kernel` without a world behind it.
public struct ScriptedKernel: Kernel, ~Copyable {
  private let script: Script

  public init(_ script: Script) { self.script = script }

  // MARK: The turn

  public var now: UInt64 { script.now }
  public mutating func readClock() { script.readClock() }
  public func wallClockSeconds() -> Int64 { Int64(script.now / 1_000_000_000) }
  public mutating func wait(until deadline: UInt64) { script.waited(until: deadline) }
  public mutating func submit() { _ = script.perform(.submit) }
  public mutating func nextCompletion() -> Completion? { script.nextCompletion() }

  // MARK: Operations that complete later

  public mutating func submitAccept(_ listener: Descriptor, multishot: Bool, token: Token) {
    script.submit(.submitAccept(listener, multishot: multishot), token: token)
  }

  public mutating func submitConnect(
    _ socket: Descriptor, address: UnsafeRawPointer, length: UInt32, token: Token
  ) {
    script.submit(.submitConnect(socket, to: AddressText.decode(address, length: length)), token: token)
  }

  public mutating func submitReceive(_ socket: Descriptor, expectsData: Bool, token: Token) {
    script.submit(.submitReceive(socket, expectsData: expectsData), token: token)
  }

  public mutating func submitReceive(
    _ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token
  ) {
    script.submit(.submitReceiveInto(socket, count: buffer.count), token: token, destination: buffer)
  }

  public mutating func submitSend(
    _ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token
  ) {
    script.submit(.submitSend(socket, bytes: Array(bytes), mode: mode), token: token)
  }

  public mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {
    script.submit(.submitPoll(descriptor, readiness), token: token)
  }

  public mutating func submitCancel(_ target: Token, on descriptor: Descriptor) {
    let operation = script.operation(named: target)
    // On a descriptor that isn't the operation's, a kernel finds nothing.
    _ = script.perform(.submitCancel(operation?.descriptor == descriptor ? operation : nil))
  }

  // MARK: Provided receive buffers

  public var receiveBufferSize: Int { script.bufferSize }
  public var receiveBufferCount: Int { script.bufferCount }
  public func receiveBuffer(_ buffer: BufferID) -> UnsafeMutableRawPointer { script.memory(of: buffer).baseAddress! }
  public mutating func recycle(_ buffer: BufferID) { _ = script.perform(.recycle(buffer)) }

  // MARK: Operations that happen now. An unexpected one fails, so that the worker gives up in good order.

  public mutating func acceptNow(_ listener: Descriptor) -> Int32 {
    Self.result(script.perform(.acceptNow(listener)), otherwise: -EAGAIN)
  }

  public mutating func stopQueueing(_ listener: Descriptor) { _ = script.perform(.stopQueueing(listener)) }
  public mutating func hearAgain(_ socket: Descriptor) { _ = script.perform(.hearAgain(socket)) }

  public mutating func openSocket(family: Int32) -> Int32 {
    Self.result(script.perform(.openSocket(family: family)), otherwise: -EIO)
  }

  public mutating func keepAlive(_ socket: Descriptor) { _ = script.perform(.keepAlive(socket)) }
  public mutating func sendUnpaced(_ socket: Descriptor) { _ = script.perform(.sendUnpaced(socket)) }
  public mutating func sendHeldBack(_ socket: Descriptor) { _ = script.perform(.sendHeldBack(socket)) }
  public mutating func configureStream(_ socket: Descriptor) { _ = script.perform(.configureStream(socket)) }

  public mutating func peerAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    Self.address(script.perform(.peerAddress(socket)), into: storage)
  }

  public mutating func localAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    Self.address(script.perform(.localAddress(socket)), into: storage)
  }

  public mutating func originalDestination(
    _ socket: Descriptor, isIPv6: Bool, into storage: UnsafeMutableRawBufferPointer
  ) -> Int32 {
    Self.address(script.perform(.originalDestination(socket, isIPv6: isIPv6)), into: storage)
  }

  public mutating func openPipe(capacity: Int) -> Result<Pipe, KernelError> {
    switch script.perform(.openPipe(capacity: capacity)) {
    case .pipe(let pipe): .success(pipe)
    case .result(let error): .failure(KernelError(errno: Int32(-error)))
    case .address, .nothing: .failure(KernelError(errno: EIO))
    }
  }

  public mutating func splice(from: Descriptor, to: Descriptor, count: Int) -> Int {
    Int(Self.result(script.perform(.splice(from: from, to: to, count: count)), otherwise: -EIO))
  }

  public mutating func deliveredBytes(_ socket: Descriptor) -> UInt64? {
    UInt64(exactly: Self.result(script.perform(.deliveredBytes(socket)), otherwise: -1))
  }

  public mutating func isReadable(_ socket: Descriptor) -> Bool {
    Self.result(script.perform(.isReadable(socket)), otherwise: 0) > 0
  }

  public mutating func shutdown(_ socket: Descriptor, _ direction: ShutdownDirection) -> Int32 {
    Self.result(script.perform(.shutdown(socket, direction)), otherwise: -EIO)
  }

  public mutating func close(_ descriptor: Descriptor) { _ = script.perform(.close(descriptor)) }
  public mutating func resetOnClose(_ socket: Descriptor) { _ = script.perform(.resetOnClose(socket)) }
  public mutating func discardInput(_ socket: Descriptor) { _ = script.perform(.discardInput(socket)) }
  public mutating func notify(_ event: Descriptor) { _ = script.perform(.notify(event)) }
  public mutating func acknowledge(_ event: Descriptor) { _ = script.perform(.acknowledge(event)) }

  // MARK: Answers

  private static func result(_ answer: Step.Answer, otherwise: Int32) -> Int32 {
    if case .result(let result) = answer { return Int32(result) }
    return otherwise
  }

  private static func address(_ answer: Step.Answer, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    if case .address(let text) = answer {
      AddressText.encode(text, into: storage)
      return 0
    }
    return result(answer, otherwise: -EIO)
  }
}
