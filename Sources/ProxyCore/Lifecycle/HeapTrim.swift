// Gives memory back that a burst of TLS connections has left free in the middle of the heap: malloc(3) itself only gives
// back its end, so that one connection that lives on keeps tens of MiB resident.

import CLinux
import Glibc

/// When the control thread trims the heap. Times are monotonic nanoseconds.
struct HeapTrim {
  /// Trimming holds the heap's lock for some milliseconds after a large burst; a handshake that needs memory waits for it.
  static let interval: UInt64 = 10_000_000_000
  /// As much as is kept for the next burst.
  static let keptBytes = 8 << 20

  private(set) var dueAt: UInt64?
  private var restsUntil: UInt64 = 0

  /// Called whenever the control thread has woken up; workers wake it half a second after TLS has given memory back.
  /// - Parameters:
  ///   - free: bytes of the heap that nobody uses, resident or not.
  ///   - trim: gives them back.
  mutating func run(now: UInt64, free: () -> Int = freeBytes, trim: () -> Void = { malloc_trim(0) }) {
    if let dueAt, now < dueAt { return }
    let wasDue = dueAt != nil
    dueAt = nil
    guard free() > Self.keptBytes else { return }
    guard wasDue || now >= restsUntil else {
      dueAt = restsUntil
      return
    }
    trim()
    restsUntil = now.addingSaturated(Self.interval)
  }

  /// mallinfo2(3).
  static func freeBytes() -> Int { mallinfo2().fordblks }
}
