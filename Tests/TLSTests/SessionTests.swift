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

  @Test("libssl hands over when it has nothing left to do: a server's with the ticket, a client's with its arrival")
  func handOver() throws {
    let mesh = try Mesh()
    let pair = Pair(mesh.client, mesh.server)
    pair.run()
    #expect(pair.server.ownsRecords)
    #expect(pair.client.ownsRecords, "the ticket came with the end of the handshake")
    let words = Array("all the world's a stage".utf8)
    pair.client.send(words)
    pair.server.send(words)
    pair.run()
    #expect(pair.server.plaintext == words && pair.client.plaintext == words)
  }

  @Test("A client whose keys change before it has handed over leaves its records to libssl, and all goes on")
  func noHandOver() throws {
    let mesh = try Mesh()
    let pair = Pair(mesh.client, mesh.server)
    pair.runWithoutTicket()
    try #require(pair.client.isComplete && pair.server.ownsRecords && !pair.client.ownsRecords)
    pair.server.session.updateKeys(askingPeer: true)
    pair.server.send(Array("under a new key".utf8))
    for round in UInt8(0)..<3 {
      pair.run()
      #expect(!pair.client.ownsRecords)
      pair.client.send([round])
      pair.server.send([round])
    }
    pair.run()
    #expect(pair.server.plaintext == [0, 1, 2])
    #expect(pair.client.plaintext == Array("under a new key".utf8) + [0, 1, 2])
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
