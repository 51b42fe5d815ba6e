// Gives memory back that a burst of TLS connections has left free in the middle of the heap: malloc(3) itself only gives
// back its end, so that one connection that lives on keeps tens of MiB resident.

import CLinux
import Glibc

/// When the control thread trims the heap. Times are monotonic nanoseconds.
struct HeapTrim {
  /// Trimming holds the heap's lock for some milliseconds after a large burst; a handshake that needs memory waits for it.
  static let interval: UInt64 = 10_000_000_000
  /// Asking malloc(3) how much is free goes through all free blocks, under the same lock: tenths of a millisecond.
  static let lookInterval: UInt64 = 1_000_000_000
  /// As much as is kept for the next burst.
  static let keptBytes = 8 << 20

  private(set) var dueAt: UInt64?
  private var restsUntil: UInt64 = 0
  /// Where the heap ended before there was any connection.
  private let initialEnd: UnsafeMutableRawPointer = sbrk(0)

  /// Called whenever the control thread has woken up; workers wake it half a second after TLS has given memory back.
  /// - Parameters:
  ///   - grown: bytes by which the heap is longer than at the start; costs nothing. A burst has left hardly more.
  ///   - free: bytes of the heap that nobody uses, resident or not.
  ///   - trim: gives them back.
  mutating func run(
    now: UInt64, grown: Int? = nil, free: () -> Int = freeBytes, trim: () -> Void = { malloc_trim(0) }
  ) {
    if let dueAt, now < dueAt { return }
    dueAt = nil
    guard grown ?? grownBytes > Self.keptBytes else { return }
    guard now >= restsUntil else {
      dueAt = restsUntil
      return
    }
    let isWorthwhile = free() > Self.keptBytes
    if isWorthwhile { trim() }
    restsUntil = now.addingSaturated(isWorthwhile ? Self.interval : Self.lookInterval)
  }

  /// sbrk(2): with one arena (mallopt(3), M_ARENA_MAX) the heap is one piece.
  private var grownBytes: Int { sbrk(0) - initialEnd }

  /// mallinfo2(3).
  static func freeBytes() -> Int { mallinfo2().fordblks }
}
