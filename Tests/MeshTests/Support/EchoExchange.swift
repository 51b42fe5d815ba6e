// Random bytes to an echo and back, for peers in between that don't know half-close.

import TestSupport

enum EchoExchange {
  /// Sends and receives at once, and ends the connection when everything has come back.
  static func run(on connection: Connection, seed: UInt64, bytes: Int) throws {
    let sender = BackgroundJob {
      let digest = Digest()
      var pieces = RandomPieces(seed: seed, total: bytes)
      while try pieces.next({ piece in
        digest.update(piece)
        try connection.send(piece)
      }) {}
      return digest.finish()
    }
    let digest = Digest()
    var rest = bytes
    while rest > 0 {
      let part = try connection.receive(atMost: min(rest, 65_536))
      guard !part.isEmpty else {
        connection.abandon()
        throw HarnessError("the echo ended \(rest) bytes early")
      }
      part.withUnsafeBytes { digest.update($0) }
      rest -= part.count
    }
    guard digest.finish() == (try sender.wait()) else { throw HarnessError("the echo came back as other bytes") }
    connection.close()
  }
}
