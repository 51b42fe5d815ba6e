// What the simulated clients and servers say: bytes of which each position is known, so that a receiver notices one that
// is lost, doubled, moved or taken from another stream.

import Glibc
import KernelTestSupport

/// The bytes of one direction of one connection.
struct Pattern {
  /// A prime, so that no buffer size divides it.
  private static let period = 65_521
  private static let bytes: [UInt8] = {
    var random = SeededGenerator(seed: 0x5eed)
    let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    // Twice, so that any run of a period's length lies in one piece.
    return once + once
  }()

  private let offset: Int

  /// - Parameter stream: a number of the direction's own.
  init(stream: Int) { offset = stream * 7_919 % Self.period }

  /// At most `count` bytes from a position on.
  func withBytes<Result>(at position: Int, count: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    let start = (offset + position) % Self.period
    return Self.bytes.withUnsafeBytes {
      body(UnsafeRawBufferPointer(rebasing: $0[start..<start + min(count, Self.period)]))
    }
  }

  /// Whether bytes are those that belong at a position.
  func matches(_ received: UnsafeRawBufferPointer, at position: Int) -> Bool {
    var checked = 0
    while checked < received.count {
      let same = withBytes(at: position + checked, count: received.count - checked) { expected in
        let differs = memcmp(expected.baseAddress!, received.baseAddress! + checked, expected.count) != 0
        checked += expected.count
        return !differs
      }
      guard same else { return false }
    }
    return true
  }
}
