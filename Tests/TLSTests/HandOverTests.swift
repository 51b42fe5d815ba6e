// Goal: a client's records change hands from libssl to our own layer only where libssl has nothing left to do, whatever the
// server sends after the handshake and however it cuts it. Method: plain libssl as the server, which sends tickets in small
// records, or without end.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct HandOverTests {
  /// A client of ours and a server of libssl's own whose handshake is complete, and what the server has to say behind it:
  /// two tickets, which hold the client's certificate.
  private func connected(
    recordSize: Int = 16_384, ticketKey: TicketKey? = nil, setUp: (OpaquePointer) -> Void = { _ in }
  ) throws -> (client: Endpoint, server: ForeignPeer, tickets: [UInt8]) {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let identity = try authority.issue(SPIFFEID(Mesh.serverID), now: testNow)
    let server = ForeignPeer(.server) { context in
      ForeignPeer.use(identity, in: context)
      SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_SEND_FRAGMENT, recordSize, nil)
      SSL_CTX_set_session_id_context(context, "x", 1)
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER) { _, _ in 1 }
      setUp(context)
    }
    let client = Endpoint(mesh.client, .client, ticketKey: ticketKey)
    while !client.isComplete, client.step() {
      server.receive(client.outbox)
      client.outbox = []
      _ = server.read()
      client.inbox += server.takeOutput()
    }
    server.receive(client.outbox)
    client.outbox = []
    _ = server.read()
    try #require(client.isComplete && server.isComplete && !client.ownsRecords)
    return (client, server, client.inbox + server.takeOutput())
  }

  /// The records in these bytes, one by one.
  private func records(_ bytes: [UInt8]) -> [[UInt8]] {
    var rest = bytes[...]
    var records: [[UInt8]] = []
    while let header = rest.count >= 5 ? Array(rest.prefix(5)) : nil {
      let size = 5 + Int(header[3]) << 8 + Int(header[4])
      records.append(Array(rest.prefix(size)))
      rest = rest.dropFirst(size)
    }
    return records
  }

  @Test("A ticket that is spread over records is libssl's to its end, wherever the stream is cut")
  func spreadTicket() throws {
    let count = try records(connected(recordSize: 512).tickets).count
    try #require(count >= 4, "two tickets of several records each")
    for cut in 1..<count {
      let (client, server, tickets) = try connected(recordSize: 512)
      let pieces = records(tickets)
      for piece in [pieces[..<cut], pieces[cut...]] {
        client.inbox = Array(piece.joined())
        client.step()
      }
      server.write(Array("behind the tickets".utf8))
      client.inbox = server.takeOutput()
      client.step()
      #expect(client.failure == nil, "cut behind record \(cut)")
      #expect(client.plaintext == Array("behind the tickets".utf8), "cut behind record \(cut)")
      #expect(client.ownsRecords)
    }
  }

  @Test("A server that changes its keys and then sends tickets without end is refused")
  func endlessTickets() throws {
    let (client, server, tickets) = try connected()
    SSL_key_update(server.ssl, SSL_KEY_UPDATE_NOT_REQUESTED)
    SSL_do_handshake(server.ssl)
    client.inbox = tickets + server.takeOutput()
    client.step()
    #expect(!client.ownsRecords, "the keys have changed before libssl could hand over")
    for round in 0..<3 {
      for _ in 0..<20 {
        SSL_new_session_ticket(server.ssl)
        SSL_do_handshake(server.ssl)
      }
      // Data in between makes tickets that many a matter of the server's taste.
      if round == 0 { server.write([1]) }
      client.inbox = server.takeOutput()
      client.step()
      #expect(client.failure == (round == 2 ? .unexpectedMessage : nil))
    }
  }

  @Test("Tickets are kept up to a size", arguments: [(0, true), (2_000, true), (8_000, false)])
  func largeTickets(more: Int, isKept: Bool) throws {
    let key = TicketKey(destination: SocketAddress("10.1.2.3:443")!, expectation: 0)
    let (client, server, tickets) = try connected(ticketKey: key) { context in
      SSL_CTX_set_session_ticket_cb(
        context,
        { ssl, count in
          let data = [UInt8](repeating: 7, count: Int(bitPattern: count))
          return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data, data.count)
        }, nil, UnsafeMutableRawPointer(bitPattern: more))
    }
    client.inbox = tickets
    client.step()
    #expect(client.failure == nil && client.ownsRecords)
    let ticket = client.engine.state.pointee.tickets.take(key, now: testNow)
    #expect((ticket != nil) == isKept)
    if let ticket {
      SSL_SESSION_free(ticket.session)
      ticket.identity.release()
    }
    _ = server
  }
}
