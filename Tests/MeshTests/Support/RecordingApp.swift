// The app that proves what reached it.

import Synchronization
import TestSupport

/// Sends back what it gets and remembers it, with the way in which each connection ended.
final class RecordingApp: Sendable {
  struct Seen: Sendable {
    var bytes: [UInt8]
    var ending: Connection.Ending
  }

  let server: AppServer
  private let records: Records

  private final class Records: Sendable {
    let seen = Mutex<[Seen]>([])
  }

  init() throws {
    let records = Records()
    self.records = records
    server = try AppServer { connection in
      var bytes: [UInt8] = []
      var ending = Connection.Ending.finished
      do {
        while case let part = try connection.receive(), !part.isEmpty {
          bytes += part
          try connection.send(part)
        }
      } catch let error as SystemCallError where error.isReset {
        ending = .reset
      }
      records.seen.withLock { $0.append(Seen(bytes: bytes, ending: ending)) }
    }
  }

  /// What connections have brought, once a number of them have ended.
  func awaitSeen(_ count: Int) throws -> [Seen] {
    try eventually("the app has seen \(count) connections to their end") {
      records.seen.withLock { $0.count >= count }
    }
    return records.seen.withLock { $0 }
  }
}
