// A stream of which every byte says where it belongs, to an echo and back, for connections that may be cut: what comes
// back has to be a prefix of what was sent.

import Glibc
import Synchronization

/// Sends and checks what comes back, on two threads, until the connection ends.
package final class PatternStream: Sendable {
  private let connection: Connection
  private let received = Counter()
  private let stops = Atomic<Bool>(false)
  private let sawReset = Atomic<Bool>(false)
  private let sender = Mutex<BackgroundJob<Int>?>(nil)
  private let receiver = Mutex<BackgroundJob<Connection.Ending>?>(nil)

  /// A prime, so that no buffer's size is a multiple of it.
  private static let period = 251
  private static let pieceBytes = period * 64

  package init(on connection: Connection) {
    self.connection = connection
    sender.withLock { $0 = BackgroundJob { [self] in try send() } }
    receiver.withLock { $0 = BackgroundJob { [self] in try receive() } }
  }

  package func awaitReceived(atLeast count: Int) throws {
    try eventually("\(count) bytes have come back") {
      try receiver.withLock { try $0?.rethrow() }
      return received.value >= count
    }
  }

  /// Waits for somebody to end the connection.
  package func awaitEnd() throws -> Connection.Ending {
    // Both are waited for, whichever fails.
    let ending = Result { try take(receiver).wait() }
    connection.abandon()
    _ = try take(sender).wait()
    // The kernel tells of a reset once: whoever calls next gets it.
    return sawReset.load(ordering: .relaxed) ? .reset : try ending.get()
  }

  /// Ends it in good order: everything that was sent comes back.
  package func finish() throws {
    stops.store(true, ordering: .relaxed)
    let sent = try take(sender).wait()
    try connection.finish()
    let ending = try take(receiver).wait()
    guard ending == .finished, received.value == sent else {
      throw HarnessError("\(received.value) of \(sent) bytes came back, and then \(ending)")
    }
  }

  /// A job holds on to this stream and its connection until it is let go.
  private func take<Value>(_ job: borrowing Mutex<BackgroundJob<Value>?>) -> BackgroundJob<Value> {
    job.withLock { $0.take()! }
  }

  private func send() throws -> Int {
    let piece = Self.pattern(Self.pieceBytes)
    var sent = 0
    while !stops.load(ordering: .relaxed) {
      do {
        try connection.send(piece)
        sent += piece.count
      } catch let error as SystemCallError where error.code == ECONNRESET || error.code == EPIPE {
        // EPIPE says nothing: it follows a reset that was told already, and a FIN.
        if error.code == ECONNRESET { sawReset.store(true, ordering: .relaxed) }
        break
      }
    }
    return sent
  }

  private func receive() throws -> Connection.Ending {
    let expected = Self.pattern(Self.pieceBytes + Self.period)
    while true {
      let part: [UInt8]
      do {
        part = try connection.receive(atMost: Self.pieceBytes)
      } catch let error as SystemCallError where error.code == ECONNRESET {
        return .reset
      }
      if part.isEmpty { return .finished }
      let isSame = part.withUnsafeBytes { part in
        expected.withUnsafeBytes {
          memcmp(part.baseAddress!, $0.baseAddress! + received.value % Self.period, part.count) == 0
        }
      }
      guard isSame else { throw HarnessError("other bytes than were sent, behind \(received.value)") }
      received.add(part.count)
    }
  }

  private static func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8($0 % period) } }
}
