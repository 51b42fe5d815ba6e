// Two ends of TLS in one process, with nothing between them but memory.

internal import Glibc

@testable internal import ProxyCore

/// What the sessions of both ends need: contexts of one authority, an engine each, and memory for what they send.
final class TLSEnds {
  private let clientContext: TLSContext
  private let serverContext: TLSContext
  private let clientEngine: TLSEngine
  private let serverEngine: TLSEngine
  fileprivate let toServer: UnsafeMutableRawBufferPointer
  fileprivate let toClient: UnsafeMutableRawBufferPointer

  init() throws {
    let now = Int64(time(nil))
    let authority = try DevelopmentAuthority(trustDomain: "bench.local", now: now)
    func context(_ name: String) throws -> TLSContext {
      let identity = try authority.issue(SPIFFEID("spiffe://bench.local/\(name)"), now: now)
      return try TLSContext.make(
        identity, trustBundlePEM: authority.certificatePEM, alpn: Configuration.Identity.alpnDefault, now: now,
        replacing: nil)
    }
    clientContext = try context("client")
    serverContext = try context("server")
    clientEngine = TLSEngine(now: now, sessionsMax: 1)
    serverEngine = TLSEngine(now: now, sessionsMax: 1)
    toServer = .allocate(byteCount: 65_536, alignment: 64)
    toClient = .allocate(byteCount: 65_536, alignment: 64)
  }

  deinit {
    toServer.deallocate()
    toClient.deallocate()
  }

  /// A new session at either end. With a ticket key the client keeps the ticket that it is given, and resumes with the one of
  /// the session before.
  func pair(ticketKey: TicketKey? = nil) -> TLSPair {
    TLSPair(
      client: TLSSession(clientContext, role: .client, engine: clientEngine, ticketKey: ticketKey)!,
      server: TLSSession(serverContext, role: .server, engine: serverEngine)!)
  }
}

/// A session at either end. The ends must outlive it.
struct TLSPair: ~Copyable {
  var client: TLSSession
  var server: TLSSession

  /// Each side answers the other until both are through and the client has read its ticket: from there on records are ours,
  /// and no longer libssl's.
  mutating func shakeHands(_ ends: TLSEnds) {
    var (clientIsThrough, serverIsThrough) = (false, false)
    var fromServer = 0
    while !clientIsThrough || !serverIsThrough {
      var input = InputWindow(UnsafeRawBufferPointer(rebasing: ends.toClient[..<fromServer]))
      var output = OutputWindow(ends.toServer)
      if !clientIsThrough { clientIsThrough = client.handshake(input: &input, output: &output) == .complete }
      var answered = InputWindow(UnsafeRawBufferPointer(rebasing: ends.toServer[..<output.count]))
      var answer = OutputWindow(ends.toClient)
      if !serverIsThrough { serverIsThrough = server.handshake(input: &answered, output: &answer) == .complete }
      precondition(output.count > 0 || answer.count > 0, "the handshake stands still")
      fromServer = answer.count
    }
    var tickets = InputWindow(UnsafeRawBufferPointer(rebasing: ends.toClient[..<fromServer]))
    var (nothing, answer) = (OutputWindow(ends.toServer), OutputWindow())
    precondition(client.decrypt(input: &tickets, plaintext: &nothing, output: &answer) == .needsInput)
    precondition(client.ssl == nil && server.ssl == nil, "libssl still has the records")
  }
}
