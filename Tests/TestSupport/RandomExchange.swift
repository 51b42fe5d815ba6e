// The workload of the byte-integrity tests: random pieces both ways at once, hashed at both ends.

import Synchronization

/// What one end of a connection sent and received.
package struct StreamOutcome: Sendable, Equatable {
  package var sentHash: String
  package var sentBytes: Int
  package var receivedHash: String
  package var receivedBytes: Int

  /// What the other end must have seen.
  package var mirrored: StreamOutcome {
    StreamOutcome(
      sentHash: receivedHash, sentBytes: receivedBytes, receivedHash: sentHash, receivedBytes: sentBytes)
  }
}

/// An app and its clients that exchange random bytes, each pair by a number that the client sends first.
package final class RandomExchange: Sendable {
  /// Bytes of the number in front of each stream to the app.
  package static let headerBytes = 8

  package let server: AppServer
  private let outcomes: Outcomes

  private final class Outcomes: Sendable {
    let byNumber = Mutex<[UInt64: StreamOutcome]>([:])
  }

  /// - Parameter bytes: how many go each way on each connection, without the header.
  package init(bytes: Int) throws {
    let outcomes = Outcomes()
    self.outcomes = outcomes
    server = try AppServer { connection in
      let header = try connection.receive(exactly: Self.headerBytes)
      let number = header.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      let outcome = try Self.exchange(on: connection, seed: ~number, bytes: bytes)
      outcomes.byNumber.withLock { $0[number] = outcome }
    }
  }

  /// One client's part.
  package static func run(on connection: Connection, number: UInt64, bytes: Int) throws -> StreamOutcome {
    try connection.send((0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) })
    return try exchange(on: connection, seed: number, bytes: bytes)
  }

  /// What the app saw of a client, once it has seen all of it.
  package func serverOutcome(_ number: UInt64) throws -> StreamOutcome {
    try awaitValue("the app has seen the end of connection \(number)") { outcomes.byNumber.withLock { $0[number] } }
  }

  /// Sends and receives at once until both directions have ended.
  private static func exchange(on connection: Connection, seed: UInt64, bytes: Int) throws -> StreamOutcome {
    let sender = BackgroundJob {
      let digest = Digest()
      var pieces = RandomPieces(seed: seed, total: bytes)
      while try pieces.next({ piece in
        digest.update(piece)
        try connection.send(piece)
      }) {}
      try connection.finish()
      return digest.finish()
    }
    let digest = Digest()
    var received = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 262_144, alignment: 16)
    defer { buffer.deallocate() }
    do {
      while case let count = try connection.receive(into: buffer), count > 0 {
        digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        received += count
      }
    } catch {
      connection.abandon()
      throw error
    }
    return StreamOutcome(
      sentHash: try sender.wait(), sentBytes: bytes, receivedHash: digest.finish(), receivedBytes: received)
  }
}
