// Turns a burst of file events into one reload: an editor writes a file in several steps, and the kubelet swaps a
// volume with half a dozen. No I/O: the control thread asks when to look, and then sleeps until then.

/// Fires once events have been quiet for a while, or after a longer while when they never are.
struct Debounce: Equatable, Sendable {
  /// Long enough for the kubelet's swap and an editor's save, short enough for a person who waits.
  static let quietNanoseconds: UInt64 = 200_000_000
  /// A file that is written without pause is looked at all the same.
  static let patienceNanoseconds: UInt64 = 2_000_000_000

  private var firstEventAt: UInt64?
  private var lastEventAt: UInt64 = 0

  /// When to look; nil: nothing happened.
  var deadline: UInt64? {
    firstEventAt.map { min(lastEventAt + Self.quietNanoseconds, $0 + Self.patienceNanoseconds) }
  }

  mutating func event(now: UInt64) {
    if firstEventAt == nil { firstEventAt = now }
    lastEventAt = now
  }

  /// - Returns: whether it is time to look; once per burst.
  mutating func fire(now: UInt64) -> Bool {
    guard let deadline, now >= deadline else { return false }
    firstEventAt = nil
    return true
  }
}
