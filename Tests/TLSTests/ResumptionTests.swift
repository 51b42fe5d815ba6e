// Goal: sessions are resumed where that is safe, with the same identity, and are not where anything has changed.
// Method: pairs on the same two engines, one after the other, while the clock, the certificates or the bundle change.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct ResumptionTests {
  private static let key = TicketKey(destination: SocketAddress("10.1.2.3:8080")!, expectation: 0)

  /// Connects once, so that the client has a ticket.
  private func primed(_ mesh: Mesh) throws -> Pair {
    let pair = Pair(mesh.client, mesh.server, ticketKey: Self.key)
    pair.run()
    try #require(pair.client.isComplete && pair.server.isComplete && !pair.server.isResumed)
    return pair
  }

  private func reconnect(
    _ pair: Pair, _ client: TLSContext, _ server: TLSContext, key: TicketKey = ResumptionTests.key
  ) {
    pair.client.reconnect(client, .client, ticketKey: key)
    pair.server.reconnect(server, .server)
    pair.run()
    #expect(pair.client.isComplete && pair.server.isComplete)
    #expect(pair.client.failure == nil && pair.server.failure == nil)
    #expect(pair.client.peerURI == Mesh.serverID)
    #expect(pair.server.peerURI == Mesh.clientID)
    #expect(pair.client.isResumed == pair.server.isResumed)
  }

  @Test func ticketsResumeAgainAndAgain() throws {
    let mesh = try Mesh()
    let pair = try primed(mesh)
    for _ in 0..<5 {
      reconnect(pair, mesh.client, mesh.server)
      #expect(pair.server.isResumed)
      pair.client.send(Array("ping".utf8))
      pair.run()
      #expect(pair.server.plaintext == Array("ping".utf8))
    }
  }

  @Test func anotherWorkerTakesTheTicket() throws {
    let mesh = try Mesh()
    let pair = try primed(mesh)
    // A fresh engine has verified nobody and knows nobody: everything must be in the ticket.
    let other = Pair(client: pair.client, server: Endpoint(mesh.server, .server))
    reconnect(other, mesh.client, mesh.server)
    #expect(other.server.isResumed)
  }

  @Test func ticketIsUsedOnce() throws {
    let mesh = try Mesh()
    let pair = try primed(mesh)
    // The ticket is taken by the first of two connections that begin before either has received a new one.
    let first = TLSSession(mesh.client, role: .client, engine: pair.client.engine, ticketKey: Self.key)
    reconnect(pair, mesh.client, mesh.server)
    #expect(!pair.server.isResumed)
    _ = consume first
  }

  @Test func ticketBelongsToItsDestinationAndRule() throws {
    let mesh = try Mesh()
    for other in [
      TicketKey(destination: SocketAddress("10.1.2.3:8081")!, expectation: 0),
      TicketKey(destination: SocketAddress("10.1.2.4:8080")!, expectation: 0),
      TicketKey(destination: SocketAddress("10.1.2.3:8080")!, expectation: 1),
    ] {
      let pair = try primed(mesh)
      reconnect(pair, mesh.client, mesh.server, key: other)
      #expect(!pair.server.isResumed)
    }
  }

  @Test func oldTicketIsNotTaken() throws {
    let mesh = try Mesh()
    let pair = try primed(mesh)
    // Only the server's clock moves, so that the client offers the ticket and the server has to judge it.
    pair.server.engine.now += TLSContext.ticketLifetime
    pair.client.reconnect(mesh.client, .client, ticketKey: Self.key)
    pair.server.reconnect(mesh.server, .server)
    pair.run()
    #expect(!pair.server.isResumed)
  }

  @Test func clientDropsOldTickets() throws {
    let mesh = try Mesh()
    let pair = try primed(mesh)
    pair.client.engine.now += TLSContext.ticketLifetime
    pair.client.engine.now -= 1
    let taken = pair.client.engine.state.pointee.tickets.take(Self.key, now: pair.client.engine.now)
    #expect(taken != nil)
    if let taken {
      pair.client.engine.state.pointee.tickets.put(
        Self.key, session: taken.session, identity: taken.identity, now: testNow)
      taken.identity.release()
    }
    #expect(pair.client.engine.state.pointee.tickets.take(Self.key, now: testNow + TLSContext.ticketLifetime) == nil)
  }

  @Test func clientKeepsABoundedNumberOfTickets() throws {
    let mesh = try Mesh()
    let pair = try primed(mesh)
    let state = pair.client.engine.state
    let identity = pair.client.session.peer!
    for index in 0..<1000 {
      let session = try #require(SSL_SESSION_new())
      state.pointee.tickets.put(Self.key, session: session, identity: identity, now: testNow + Int64(index))
    }
    var taken = 0
    while let ticket = state.pointee.tickets.take(Self.key, now: testNow + 1000) {
      taken += 1
      SSL_SESSION_free(ticket.session)
      ticket.identity.release()
    }
    #expect(taken == 64)
  }

  @Test func expiredIdentityIsNotResumed() throws {
    let authority = try Mesh.authority()
    let bundle = authority.certificatePEM
    let server = try Mesh.context(authority, Mesh.serverID, bundle: bundle)
    let shortLived = try authority.issue(SPIFFEID(Mesh.clientID), now: testNow, lifetime: 100)
    let client = try TLSContext.make(shortLived, trustBundlePEM: bundle, now: testNow)
    let pair = Pair(client, server, ticketKey: Self.key)
    pair.run()
    try #require(pair.server.isComplete)
    pair.server.engine.now += 101
    pair.client.reconnect(client, .client, ticketKey: Self.key)
    pair.server.reconnect(server, .server)
    pair.run()
    #expect(pair.server.failure == .certificateExpired, "the full handshake that follows sees the old certificate")

    // With a renewed certificate the ticket of the old one still isn't taken, and the new one is.
    let renewed = try Mesh.context(authority, Mesh.clientID, bundle: bundle)
    pair.client.reconnect(renewed, .client, ticketKey: Self.key)
    pair.server.reconnect(server, .server)
    pair.run()
    #expect(pair.server.isComplete && !pair.server.isResumed)
  }

  @Test func rotatedCertificatesUnderTheSameBundleResume() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let pair = try primed(mesh)
    let next = try Mesh.context(authority, Mesh.serverID, bundle: mesh.bundle, replacing: mesh.server)
    let nextClient = try Mesh.context(authority, Mesh.clientID, bundle: mesh.bundle, replacing: mesh.client)
    reconnect(pair, nextClient, next)
    #expect(pair.server.isResumed)
  }

  @Test func unrelatedContextDoesNotOpenTheTicket() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let pair = try primed(mesh)
    reconnect(pair, mesh.client, try Mesh.context(authority, Mesh.serverID, bundle: mesh.bundle))
    #expect(!pair.server.isResumed)
  }

  @Test func changedBundleDropsTicketsOnBothSides() throws {
    let authority = try Mesh.authority()
    let added = try Mesh.authority()
    let mesh = try Mesh(authority)
    let larger = mesh.bundle + added.certificatePEM
    let nextServer = try Mesh.context(authority, Mesh.serverID, bundle: larger, replacing: mesh.server)
    let nextClient = try Mesh.context(authority, Mesh.clientID, bundle: larger, replacing: mesh.client)

    let pair = try primed(mesh)
    reconnect(pair, mesh.client, nextServer)
    #expect(!pair.server.isResumed, "the server's bundle has changed")

    let other = try primed(mesh)
    reconnect(other, nextClient, mesh.server)
    #expect(!other.server.isResumed, "the client's bundle has changed")
  }

  @Test("A ticket that comes after the bundle has changed is not kept: the new bundle may not vouch for its server")
  func lateTicket() throws {
    let authority = try Mesh.authority()
    let added = try Mesh.authority()
    let mesh = try Mesh(authority)
    let next = try Mesh.context(
      authority, Mesh.clientID, bundle: added.certificatePEM + mesh.bundle, replacing: mesh.client)
    let pair = Pair(mesh.client, mesh.server, ticketKey: Self.key)
    pair.runWithoutTicket()
    // The worker's next connection uses the new bundle, and the old connection's ticket comes after it.
    let other = TLSSession(next, role: .client, engine: pair.client.engine, ticketKey: Self.key)
    pair.run()
    #expect(pair.client.ownsRecords, "the ticket has come")
    _ = consume other
    reconnect(pair, next, mesh.server)
    #expect(!pair.server.isResumed)
  }

  @Test("Who has changed its name under the same bundle is not taken for the old one, by either side")
  func changedName() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let renamed = "spiffe://cluster.local/ns/web/sa/renamed"

    let pair = try primed(mesh)
    pair.client.reconnect(
      try Mesh.context(authority, renamed, bundle: mesh.bundle, replacing: mesh.client), .client, ticketKey: Self.key)
    pair.server.reconnect(mesh.server, .server)
    pair.run()
    #expect(pair.server.isComplete && !pair.server.isResumed)
    #expect(pair.server.peerURI == renamed)

    let other = try primed(mesh)
    other.client.reconnect(mesh.client, .client, ticketKey: Self.key)
    other.server.reconnect(
      try Mesh.context(authority, renamed, bundle: mesh.bundle, replacing: mesh.server), .server)
    other.run()
    #expect(other.client.isComplete && !other.client.isResumed)
    #expect(other.client.peerURI == renamed)
  }

  @Test func bundleIsTheSameWhateverItsOrder() throws {
    let authority = try Mesh.authority()
    let added = try Mesh.authority()
    let one = try Mesh.context(
      authority, Mesh.serverID, bundle: authority.certificatePEM + added.certificatePEM)
    let other = try Mesh.context(
      authority, Mesh.serverID, bundle: added.certificatePEM + authority.certificatePEM + added.certificatePEM)
    #expect(one.bundleFingerprint == other.bundleFingerprint)
  }

  @Test func bundleChangeForgetsVerifiedLeaves() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let pair = Pair(mesh.client, mesh.server)
    pair.run()
    try #require(pair.server.isComplete)
    // The same client, the same engine, but the server now trusts somebody else.
    let strangers = try Mesh.authority()
    let stranger = try Mesh.context(strangers, Mesh.serverID, bundle: strangers.certificatePEM)
    pair.server.reconnect(stranger, .server)
    let identity = try authority.issue(SPIFFEID(Mesh.clientID), now: testNow)
    let foreign = ForeignPeer { ForeignPeer.use(identity, in: $0) }
    foreign.handshake(with: pair.server)
    #expect(pair.server.failure == .certificateUntrusted)
  }

  @Test func verifiedLeafIsSharedAndStillExpires() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let shortLived = try authority.issue(SPIFFEID(Mesh.clientID), now: testNow, lifetime: 100)
    let client = try TLSContext.make(shortLived, trustBundlePEM: mesh.bundle, now: testNow)
    let pair = Pair(client, mesh.server)
    for _ in 0..<3 {
      pair.client.reconnect(client, .client)
      pair.server.reconnect(mesh.server, .server)
      pair.run()
      #expect(pair.server.isComplete && pair.server.peerURI == Mesh.clientID)
    }
    pair.server.engine.now += 101
    pair.client.reconnect(client, .client)
    pair.server.reconnect(mesh.server, .server)
    pair.run()
    #expect(pair.server.failure == .certificateExpired)
  }
}
