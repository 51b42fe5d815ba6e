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

  /// Who keeps the records of the end that closes, and of the end that is told.
  struct Closing: CustomTestStringConvertible {
    let closingRole: TLSRole
    let keepsLibrary: Bool
    let keyUpdate: Bool

    static let all = [TLSRole.client, .server].flatMap { role in
      [false, true].flatMap { library in
        [false, true].map { Closing(closingRole: role, keepsLibrary: library, keyUpdate: $0) }
      }
    }

    var testDescription: String {
      "\(closingRole) closes, \(keepsLibrary ? "libssl" : "we") keep the records, \(keyUpdate ? "" : "no ")key update"
    }
  }

  @Test(
    "close_notify in pieces of any size is the end, from either side, whoever keeps the records",
    arguments: Closing.all)
  func endInPieces(_ closing: Closing) throws {
    let mesh = try Mesh()
    for size in 1...30 {
      let pair = Pair(mesh.client, mesh.server)
      pair.run(pieces: size, outputRoom: closing.keepsLibrary ? 100 : 64 * 1024)
      try #require(pair.client.isComplete && pair.server.isComplete)
      #expect(pair.client.ownsRecords != closing.keepsLibrary && pair.server.ownsRecords != closing.keepsLibrary)
      let (closer, told) = closing.closingRole == .client ? (pair.client, pair.server) : (pair.server, pair.client)
      closer.send([1])
      if closing.keyUpdate { closer.session.updateKeys(askingPeer: true) }
      closer.close()
      pair.run(pieces: size)
      #expect(told.plaintext == [1])
      #expect(told.isClosed && told.endOfInputIsClean, "in pieces of \(size)")
      #expect(pair.client.failure == nil && pair.server.failure == nil)
    }
  }

  @Test("A client that says one thing and ends before it knows how the server took its certificate has ended well")
  func endBehindTheHandshake() throws {
    let mesh = try Mesh()
    for (size, keyUpdate) in (1...30).flatMap({ [($0, false), ($0, true)] }) {
      let pair = Pair(mesh.client, mesh.server)
      pair.runUntilClientIsComplete()
      try #require(pair.client.isComplete && !pair.client.ownsRecords)
      pair.client.send([1])
      if keyUpdate { pair.client.session.updateKeys(askingPeer: false) }
      pair.client.close()
      pair.run(pieces: size)
      #expect(pair.server.plaintext == [1])
      #expect(pair.server.isClosed && pair.server.endOfInputIsClean, "in pieces of \(size), key update: \(keyUpdate)")
    }
  }

  @Test("A client that has ended before the ticket came hears everything that comes with it, in one piece or in many")
  func ticketBehindTheEnd() throws {
    let mesh = try Mesh()
    for size in Array(1...30) + [100, 1_000_000] {
      let pair = Pair(mesh.client, mesh.server)
      pair.runUntilClientIsComplete()
      try #require(pair.client.isComplete && !pair.client.ownsRecords)
      pair.client.close()
      pair.carryToServer()
      pair.server.step()
      pair.server.step()
      try #require(pair.server.isComplete && pair.server.isClosed)
      pair.server.send([1, 2, 3])
      pair.server.close()
      pair.run(pieces: size)
      #expect(pair.client.plaintext == [1, 2, 3], "in pieces of \(size)")
      #expect(pair.client.isClosed && pair.client.failure == nil, "in pieces of \(size)")
    }
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
