// Goal: two real sessions agree and carry every byte, however the bytes are cut on their way.
// Method: a client and a server in memory, with windows and pieces of seeded random sizes; what comes out is compared with
// what went in.

import Testing

@testable import ProxyCore

@Suite struct SessionTests {
  @Test func handshakeProvesBothIdentities() throws {
    let mesh = try Mesh()
    let pair = Pair(mesh.client, mesh.server)
    pair.run()
    #expect(pair.client.failure == nil && pair.server.failure == nil)
    #expect(pair.client.isComplete && pair.server.isComplete)
    #expect(pair.client.peerURI == Mesh.serverID)
    #expect(pair.server.peerURI == Mesh.clientID)
    #expect(pair.server.isMeshProtocol && pair.client.isMeshProtocol)
    #expect(!pair.server.isResumed)
  }

  @Test(arguments: 0..<60)
  func everyByteArrivesHoweverItIsCut(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let mesh = try Mesh()
    let pair = Pair(mesh.client, mesh.server)
    let chunkMax = [1, 7, 100, 1500, 16_384, 65_536][Int(seed % 6)]
    pair.run(&generator, chunkMax: chunkMax)
    #expect(pair.client.isComplete && pair.server.isComplete, "seed \(seed)")

    let size = chunkMax < 100 ? 3_000 : 200_000
    for _ in 0..<4 {
      let up = generator.bytes(Int.random(in: 1...size, using: &generator))
      let down = generator.bytes(Int.random(in: 1...size, using: &generator))
      pair.client.send(up, outputRoom: Int.random(in: 2_000...300_000, using: &generator))
      pair.server.send(down, outputRoom: Int.random(in: 2_000...300_000, using: &generator))
      let updating = Bool.random(using: &generator) ? pair.client : pair.server
      updating.session.updateKeys(askingPeer: Bool.random(using: &generator))
      pair.run(&generator, chunkMax: chunkMax)
      #expect(pair.server.plaintext == up, "seed \(seed)")
      #expect(pair.client.plaintext == down, "seed \(seed)")
      (pair.server.plaintext, pair.client.plaintext) = ([], [])
    }
    pair.client.close()
    pair.run(&generator, chunkMax: chunkMax)
    #expect(pair.server.isClosed && pair.server.endOfInputIsClean, "seed \(seed)")
    #expect(pair.client.failure == nil && pair.server.failure == nil, "seed \(seed)")
  }
}
