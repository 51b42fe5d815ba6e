// Goal: a stranger can't have libssl make room for more than a hello needs. Method: servers that are told of long hellos, cut
// in every way, and see no more than their headers.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct HelloBoundTests {
  /// Handshake records that announce a hello of 16 KiB and a byte, and have none of it.
  private static let announcement: [UInt8] = [1, 0, 0x40, 1]
  private static let alert: [UInt8] = [21, 3, 3, 0, 2, 2, 47]

  static let cuts: [(name: String, pieces: [[UInt8]])] = {
    let record: [UInt8] = [22, 3, 1, 0, 4] + announcement
    let crumbs: [UInt8] = announcement.flatMap { [22, 3, 1, 0, 1, $0] as [UInt8] }
    return [
      ("whole", [record]), ("byte by byte", record.map { [$0] }), ("in records of a byte", [crumbs]),
      ("in records of a byte, byte by byte", crumbs.map { [$0] }),
    ]
  }()

  @Test("A hello that is too long is refused at its header", arguments: cuts.indices)
  func refused(cut: Int) throws {
    let server = Endpoint(try Mesh().server, .server)
    for piece in Self.cuts[cut].pieces {
      server.inbox = piece
      server.step()
    }
    #expect(server.failure == .recordTooLarge, "\(Self.cuts[cut].name)")
    #expect(server.outbox == Self.alert)
  }

  @Test("So is the second one, behind a request to begin again")
  func secondHello() throws {
    let server = Endpoint(try Mesh().server, .server)
    let client = ForeignPeer { _ = shim_SSL_CTX_set1_groups_list($0, "P-521:P-256") }
    SSL_do_handshake(client.ssl)
    server.inbox = client.takeOutput()
    server.step()
    try #require(server.failure == nil && !server.outbox.isEmpty)
    server.outbox = []
    server.inbox = Self.cuts[0].pieces[0]
    server.step()
    #expect(server.failure == .recordTooLarge)
    #expect(server.outbox == Self.alert)
  }

  @Test("A hello of just that size is libssl's to judge")
  func longest() throws {
    let server = Endpoint(try Mesh().server, .server)
    server.inbox = [22, 3, 1, 0, 4, 1, 0, 0x40, 0]
    server.step()
    #expect(server.failure == nil && server.outbox.isEmpty)
  }
}
