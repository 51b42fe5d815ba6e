// The bench of the conformance suite: one kernel under test and the bookkeeping that every test needs. A test takes a
// world for each `KernelKind`, submits through it, and asks for the outcome of a token. Sockets and their far ends
// come from `Network.swift`. What a test must do behind the kernel's back, `World+Behind.swift` does.

import Glibc
import IOUring
import KernelTestSupport
import Testing

/// The implementations that the suite holds to the same promises.
enum KernelKind: String, CaseIterable, CustomTestStringConvertible, Codable {
  case ring, epoll, simulation

  /// Those whose sockets are the host's.
  static let onHost: [KernelKind] = [.ring, .epoll]

  var testDescription: String { rawValue }

  /// Kernel with `buffers` provided buffers of `bufferSize` bytes, ready for use on this thread.
  /// - Parameter simulated: the world of the simulation.
  fileprivate func make(
    bufferSize: Int, buffers: Int, simulated: SimulatedWorld?
  ) throws -> any Kernel & ~Copyable {
    switch self {
    case .simulation:
      return SimulatedKernel(try #require(simulated))
    case .ring:
      var options = RingOptions()
      options.submissionEntries = 64
      options.completionEntries = 256
      options.receiveBufferSize = bufferSize
      options.receiveBufferCount = buffers
      var ring = try Ring(options: options)
      try ring.enable()
      return ring
    case .epoll:
      var options = EpollOptions()
      options.receiveBufferSize = bufferSize
      options.receiveBufferCount = buffers
      return try Epoll(options: options)
    }
  }
}

/// A kernel under test. Checks on the side that each token completes once, and only while it is in flight.
final class World {
  var kernel: any Kernel & ~Copyable
  let kind: KernelKind
  /// The sockets of the simulation; nil on the host.
  let network: SimulatedNetwork?

  private var nextToken: UInt64 = 1
  private var inFlight: Set<UInt64> = []
  private var descriptorOfToken: [UInt64: Descriptor] = [:]
  /// Completions that arrived and that no test has asked for.
  private var arrived: [Completion] = []
  private var memory: [UnsafeMutableRawBufferPointer] = []

  /// No wait of a passing test comes near it; it turns a lost completion into a failure.
  private static let patienceNanoseconds: UInt64 = 20_000_000_000

  struct Lost: Error {
    var token: Token
  }

  init(_ kind: KernelKind, bufferSize: Int = 4_096, buffers: Int = 8) throws {
    _ = World.descriptorLimitRaised
    self.kind = kind
    network =
      kind == .simulation
      ? SimulatedNetwork(SimulatedWorld(SeededGenerator(seed: 1), bufferSize: bufferSize, bufferCount: buffers)) : nil
    kernel = try kind.make(bufferSize: bufferSize, buffers: buffers, simulated: network?.world)
  }

  deinit {
    for bytes in memory { bytes.deallocate() }
  }

  private static let descriptorLimitRaised: Bool = {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    return setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
  }()

  // MARK: Submitting

  func receive(_ socket: Descriptor, expectsData: Bool = true) -> Token {
    let token = issueToken(socket)
    kernel.submitReceive(socket, expectsData: expectsData, token: token)
    return token
  }

  func receive(_ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer) -> Token {
    let token = issueToken(socket)
    kernel.submitReceive(socket, into: buffer, token: token)
    return token
  }

  func send(_ socket: Descriptor, _ bytes: [UInt8], mode: SendMode) -> Token {
    let token = issueToken(socket)
    kernel.submitSend(socket, keep(bytes), mode: mode, token: token)
    return token
  }

  func accept(_ listener: Descriptor, multishot: Bool) -> Token {
    let token = issueToken(listener)
    kernel.submitAccept(listener, multishot: multishot, token: token)
    return token
  }

  func connect(_ socket: Descriptor, to address: Address) -> Token {
    let token = issueToken(socket)
    let bytes = keep(address.bytes)
    kernel.submitConnect(socket, address: bytes.baseAddress!, length: UInt32(bytes.count), token: token)
    return token
  }

  func poll(_ descriptor: Descriptor, for readiness: Readiness) -> Token {
    let token = issueToken(descriptor)
    kernel.submitPoll(descriptor, for: readiness, token: token)
    return token
  }

  func cancel(_ token: Token) { kernel.submitCancel(token, on: descriptorOfToken[token.rawValue] ?? .none) }

  /// High bits as well as low ones are in use, as in the worker's tokens.
  private func issueToken(_ descriptor: Descriptor) -> Token {
    let token = Token(rawValue: nextToken << 40 | nextToken)
    nextToken += 1
    inFlight.insert(token.rawValue)
    descriptorOfToken[token.rawValue] = descriptor
    return token
  }

  /// Memory that lives as long as the world: kernels read it until the completion.
  func allocate(_ count: Int) -> UnsafeMutableRawBufferPointer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
    memory.append(bytes)
    return bytes
  }

  private func keep(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
    let copy = allocate(bytes.count)
    copy.copyBytes(from: bytes)
    return UnsafeRawBufferPointer(copy)
  }

  // MARK: Calls that act at once
  // The test macros can't look into a noncopyable existential, so that the kernel's own verbs stand here once more.

  var now: UInt64 { kernel.now }
  func readClock() { kernel.readClock() }
  func wait(until deadline: UInt64) { kernel.wait(until: deadline) }
  func submit() { kernel.submit() }
  func nextCompletion() -> Completion? { kernel.nextCompletion() }
  func stopQueueing(_ listener: Descriptor) { kernel.stopQueueing(listener) }
  func hearAgain(_ socket: Descriptor) { kernel.hearAgain(socket) }
  func openSocket(family: Int32) -> Int32 { kernel.openSocket(family: family) }
  func openPipe(capacity: Int) -> Result<Pipe, KernelError> { kernel.openPipe(capacity: capacity) }
  func splice(from: Descriptor, to: Descriptor, count: Int) -> Int { kernel.splice(from: from, to: to, count: count) }
  func deliveredBytes(_ socket: Descriptor) -> UInt64? { kernel.deliveredBytes(socket) }
  func isReadable(_ socket: Descriptor) -> Bool { kernel.isReadable(socket) }
  func shutdown(_ socket: Descriptor, _ direction: ShutdownDirection) -> Int32 { kernel.shutdown(socket, direction) }
  func resetOnClose(_ socket: Descriptor) { kernel.resetOnClose(socket) }
  func discardInput(_ socket: Descriptor) { kernel.discardInput(socket) }
  func sendUnpaced(_ socket: Descriptor) { kernel.sendUnpaced(socket) }
  func sendHeldBack(_ socket: Descriptor) { kernel.sendHeldBack(socket) }
  func close(_ descriptor: Descriptor) { kernel.close(descriptor) }
  func acknowledge(_ event: Descriptor) { kernel.acknowledge(event) }
  func localAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    kernel.localAddress(socket, into: storage)
  }
  func peerAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    kernel.peerAddress(socket, into: storage)
  }

  // MARK: Outcomes

  /// One turn; what completed is kept for `outcome` and `completions`.
  func turn(until deadline: UInt64 = 0) {
    kernel.wait(until: deadline)
    while let completion = kernel.nextCompletion() {
      let token = completion.token.rawValue
      let isExpected = completion.isFinal ? inFlight.remove(token) != nil : inFlight.contains(token)
      if !isExpected { Issue.record("token \(token) completed out of its life") }
      arrived.append(completion)
    }
  }

  /// Turns until the token has completed, with or without `.more`.
  func outcome(_ token: Token) throws -> Completion {
    let deadline = kernel.now + World.patienceNanoseconds
    while true {
      if let completion = take(token) { return completion }
      guard kernel.now < deadline else {
        Issue.record("token \(token.rawValue) did not complete")
        throw Lost(token: token)
      }
      turn(until: deadline)
    }
  }

  /// The token's completion if it is among those that arrived.
  func take(_ token: Token) -> Completion? {
    arrived.firstIndex { $0.token == token }.map { arrived.remove(at: $0) }
  }

  /// Whether the token has completed by now, without waiting for it.
  func hasCompleted(_ token: Token) -> Bool {
    turn()
    return arrived.contains { $0.token == token }
  }

  /// Completions that arrived and were not asked for.
  var unclaimedCount: Int { arrived.count }

  /// The bytes of a provided-buffer completion; the buffer goes back.
  func takeBytes(_ completion: Completion) -> [UInt8] {
    guard let buffer = completion.buffer else { return [] }
    let address = World.address(of: buffer, in: &kernel)
    let bytes = UnsafeRawBufferPointer(start: address, count: Int(completion.result))
    defer { kernel.recycle(buffer) }
    return [UInt8](bytes)
  }

  /// Generic because the compiler takes a borrowing call on the existential for a consuming one.
  private static func address<K: Kernel & ~Copyable>(
    of buffer: BufferID, in kernel: inout K
  ) -> UnsafeMutableRawPointer {
    kernel.receiveBuffer(buffer)
  }

  /// Receives until `count` bytes are there or the stream ends.
  func receiveAll(_ socket: Descriptor, count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var expectsData = true
    while bytes.count < count {
      let completion = try outcome(receive(socket, expectsData: expectsData))
      if completion.result <= 0 { break }
      expectsData = completion.flags.contains(.socketNonEmpty)
      bytes += takeBytes(completion)
    }
    return bytes
  }
}
