// One record sealed by one session and opened by another, in memory.

internal import Glibc

@testable internal import ProxyCore

/// A client and a server after their handshake, and memory for a record between them.
final class TLSSubject: Subject {
  // In this order: an engine must outlive its session.
  private var client: TLSSession
  private var server: TLSSession
  private let clientEngine: TLSEngine
  private let serverEngine: TLSEngine
  private let plain: UnsafeMutableRawBufferPointer
  private let sealed: UnsafeMutableRawBufferPointer
  private let opened: UnsafeMutableRawBufferPointer

  init(recordBytes: Int) throws {
    let now = Int64(time(nil))
    let authority = try DevelopmentAuthority(trustDomain: "bench.local", now: now)
    func context(_ name: String) throws -> TLSContext {
      let identity = try authority.issue(SPIFFEID("spiffe://bench.local/\(name)"), now: now)
      return try TLSContext.make(
        identity, trustBundlePEM: authority.certificatePEM, alpn: Configuration.Identity.alpnDefault, now: now,
        replacing: nil)
    }
    let clientContext = try context("client")
    let serverContext = try context("server")
    clientEngine = TLSEngine(now: now, sessionsMax: 1)
    serverEngine = TLSEngine(now: now, sessionsMax: 1)
    client = TLSSession(clientContext, role: .client, engine: clientEngine)!
    server = TLSSession(serverContext, role: .server, engine: serverEngine)!
    plain = .allocate(byteCount: recordBytes, alignment: 64)
    plain.initializeMemory(as: UInt8.self, repeating: 7)
    sealed = .allocate(byteCount: 65_536, alignment: 64)
    opened = .allocate(byteCount: 65_536, alignment: 64)
    try super.init()
    shakeHands()
  }

  deinit {
    plain.deallocate()
    sealed.deallocate()
    opened.deallocate()
  }

  /// Each side answers the other until both are through and the client has read its tickets: from there on records are ours,
  /// and no longer libssl's.
  private func shakeHands() {
    var (clientIsThrough, serverIsThrough) = (false, false)
    var fromServer = 0
    while !clientIsThrough || !serverIsThrough {
      var toClient = InputWindow(UnsafeRawBufferPointer(rebasing: opened[..<fromServer]))
      var toServer = OutputWindow(sealed)
      if !clientIsThrough { clientIsThrough = client.handshake(input: &toClient, output: &toServer) == .complete }
      var input = InputWindow(UnsafeRawBufferPointer(rebasing: sealed[..<toServer.count]))
      var output = OutputWindow(opened)
      if !serverIsThrough { serverIsThrough = server.handshake(input: &input, output: &output) == .complete }
      precondition(toServer.count > 0 || output.count > 0, "the handshake stands still")
      fromServer = output.count
    }
    var tickets = InputWindow(UnsafeRawBufferPointer(rebasing: opened[..<fromServer]))
    var (nothing, answer) = (OutputWindow(sealed), OutputWindow())
    precondition(client.decrypt(input: &tickets, plaintext: &nothing, output: &answer) == .needsInput)
    precondition(client.ssl == nil && server.ssl == nil, "libssl still has the records")
  }

  override func run(times: Int64) {
    for _ in 0..<times { carryRecord() }
  }

  /// From plaintext to plaintext.
  private func carryRecord() {
    var plaintext = InputWindow(UnsafeRawBufferPointer(plain))
    var output = OutputWindow(sealed)
    precondition(client.encrypt(plaintext: &plaintext, output: &output) == .done)
    var input = InputWindow(UnsafeRawBufferPointer(rebasing: sealed[..<output.count]))
    var result = OutputWindow(opened)
    var answer = OutputWindow()
    precondition(server.decrypt(input: &input, plaintext: &result, output: &answer) == .needsInput)
    precondition(result.count == plain.count)
  }
}
