// Goal: nothing that happens to a handshake on its way traps, lets plaintext through, or makes a peer somebody else.
// Method: two sessions, and a script of what becomes of the bytes between them. A script may well replace all of them, so
// that either end also meets a peer of the fuzzer's own.

import FuzzSupport
import Testing

@testable import ProxyCore

@Suite("Handshake fuzzer")
struct HandshakeFuzz {
  static let target = FuzzTarget("handshakes", inputMax: 2_048) { input in
    let mesh = try mesh.get()
    let (client, server) = (Endpoint(mesh.client, .client), Endpoint(mesh.server, .server))
    var script = WireScript(input)
    client.step()
    while !script.isOver {
      let (from, to) = script.number(below: 2) == 0 ? (client, server) : (server, client)
      if script.number(below: 4) == 0 {
        script.wire = from.outbox
        script.changeWire()
        from.outbox = script.wire
      } else {
        script.wire = from.outbox
        to.inbox += script.deliver()
        from.outbox = script.wire
        to.step(outputRoom: 1 + 64 * script.number(below: 256))
      }
    }
    try expect(client.plaintext.isEmpty && server.plaintext.isEmpty, "nothing was sent, and something was read")
    try expect(!client.isComplete || client.peerURI == Mesh.serverID, "the client met \(client.peerURI ?? "nobody")")
    try expect(!server.isComplete || server.peerURI == Mesh.clientID, "the server met \(server.peerURI ?? "nobody")")
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }

  private static let mesh = Result { try Mesh() }
}
