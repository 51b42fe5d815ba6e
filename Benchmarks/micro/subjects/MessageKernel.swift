// A kernel for the relay's benchmark: one client, one app, and a message whenever the benchmark says so. Everything
// completes at once, nothing is allocated, and what would be a system call is counted.

internal import Glibc
internal import IOUring

struct MessageKernel: Kernel, ~Copyable {
  static let listener = Descriptor(rawValue: 1_000_001)
  static let client = Descriptor(rawValue: 1_000_002)
  static let app = Descriptor(rawValue: 1_000_003)

  /// Bytes of the message that the client sends next; zero for none.
  var messageBytes: Int32 = 0
  /// Entries into the kernel: one per turn, whatever is submitted with it, and one per verb that acts at once.
  private(set) var systemCalls = 0
  /// Messages that the app was sent.
  private(set) var messagesSent = 0
  private(set) var now: UInt64 = 1_000_000_000_000

  private var hasAccepted = false
  private var receiveFromClient: Token?
  private let buffer: UnsafeMutableRawPointer
  /// Completions of the next turn, and of this one from `next` on. Never more than a handful.
  private let due: UnsafeMutablePointer<Completion>
  private let current: UnsafeMutablePointer<Completion>
  private var dueCount = 0
  private var currentCount = 0
  private var next = 0

  private static var queueMax: Int { 16 }

  init() {
    buffer = .allocate(byteCount: 16_384, alignment: 64)
    buffer.initializeMemory(as: UInt8.self, repeating: 7, count: 16_384)
    due = .allocate(capacity: Self.queueMax)
    current = .allocate(capacity: Self.queueMax)
  }

  deinit {
    buffer.deallocate()
    due.deallocate()
    current.deallocate()
  }

  private mutating func complete(_ token: Token, _ result: Int32, flags: Completion.Flags = []) {
    precondition(dueCount < Self.queueMax)
    due[dueCount] = Completion(token: token, result: result, flags: flags)
    dueCount += 1
  }

  // MARK: The turn

  func readClock() {}

  func wallClockSeconds() -> Int64 { 1_000 }

  mutating func wait(until deadline: UInt64) {
    systemCalls += 1
    if messageBytes > 0, let token = receiveFromClient {
      receiveFromClient = nil
      complete(token, messageBytes, flags: .buffer)
      messageBytes = 0
    }
    current.update(from: due, count: dueCount)
    (currentCount, dueCount, next) = (dueCount, 0, 0)
  }

  mutating func submit() { systemCalls += 1 }

  mutating func nextCompletion() -> Completion? {
    guard next < currentCount else { return nil }
    next += 1
    return current[next - 1]
  }

  // MARK: Operations that complete later

  mutating func submitAccept(_ listener: Descriptor, multishot: Bool, token: Token) {
    guard !hasAccepted else { return }
    hasAccepted = true
    complete(token, Self.client.rawValue, flags: .more)
  }

  mutating func submitConnect(_ socket: Descriptor, address: UnsafeRawPointer, length: UInt32, token: Token) {
    complete(token, 0)
  }

  mutating func submitReceive(_ socket: Descriptor, expectsData: Bool, token: Token) {
    if socket == Self.client { receiveFromClient = token }
  }

  mutating func submitReceive(_ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token) {}

  mutating func submitSend(_ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token) {
    if socket == Self.app { messagesSent += 1 }
    complete(token, Int32(bytes.count))
  }

  mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {}
  mutating func submitCancel(_ target: Token, on descriptor: Descriptor) {}

  // MARK: The one receive buffer

  var receiveBufferSize: Int { 16_384 }
  var receiveBufferCount: Int { 1 }
  func receiveBuffer(_ buffer: BufferID) -> UnsafeMutableRawPointer { self.buffer }
  mutating func recycle(_ buffer: BufferID) {}

  // MARK: Operations that happen now

  mutating func acceptNow(_ listener: Descriptor) -> Int32 { fails(EAGAIN) }
  mutating func stopQueueing(_ listener: Descriptor) { systemCalls += 1 }
  mutating func hearAgain(_ socket: Descriptor) { systemCalls += 1 }
  mutating func configureStream(_ socket: Descriptor) { systemCalls += 1 }
  mutating func keepAlive(_ socket: Descriptor) { systemCalls += 1 }
  mutating func sendUnpaced(_ socket: Descriptor) { systemCalls += 1 }
  mutating func sendHeldBack(_ socket: Descriptor) { systemCalls += 1 }
  mutating func close(_ descriptor: Descriptor) { systemCalls += 1 }
  mutating func resetOnClose(_ socket: Descriptor) { systemCalls += 1 }
  mutating func discardInput(_ socket: Descriptor) { systemCalls += 1 }
  mutating func notify(_ event: Descriptor) { systemCalls += 1 }
  mutating func acknowledge(_ event: Descriptor) { systemCalls += 1 }

  mutating func openSocket(family: Int32) -> Int32 {
    systemCalls += 1
    return Self.app.rawValue
  }

  mutating func peerAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    loopback(into: storage)
  }

  mutating func localAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    loopback(into: storage)
  }

  mutating func originalDestination(
    _ socket: Descriptor, isIPv6: Bool, into storage: UnsafeMutableRawBufferPointer
  ) -> Int32 { fails(ENOENT) }

  mutating func openPipe(capacity: Int) -> Result<Pipe, KernelError> {
    .failure(KernelError(errno: -fails(EMFILE)))
  }

  mutating func splice(from: Descriptor, to: Descriptor, count: Int) -> Int { Int(fails(EAGAIN)) }

  mutating func deliveredBytes(_ socket: Descriptor) -> UInt64? {
    systemCalls += 1
    return nil
  }

  mutating func isReadable(_ socket: Descriptor) -> Bool {
    systemCalls += 1
    return false
  }

  mutating func shutdown(_ socket: Descriptor, _ direction: ShutdownDirection) -> Int32 {
    systemCalls += 1
    return 0
  }

  private mutating func fails(_ error: Int32) -> Int32 {
    systemCalls += 1
    return -error
  }

  /// 127.0.0.1, port 1.
  private mutating func loopback(into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    systemCalls += 1
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(1).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    storage.storeBytes(of: address, as: sockaddr_in.self)
    return 0
  }
}
