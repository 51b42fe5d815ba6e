// The connection limit over all workers: one atomic count, touched when a connection is accepted and when it ends.

public import IOUring
import Synchronization

/// `limits.connections`, shared by the workers. A worker that finds it used up stops accepting and is woken when a
/// connection ends on any worker.
public final class ConnectionBudget: Sendable {
  private let limit: Atomic<Int>
  private let used = Atomic<Int>(0)
  /// Workers that paused for want of a permit.
  private let waiting = Atomic<Int>(0)
  private let workerWakes: [Descriptor]

  /// - Parameter workerWakes: each worker's mailbox eventfd.
  public init(limit: Int, workerWakes: [Descriptor]) {
    self.limit = Atomic(limit)
    self.workerWakes = workerWakes
  }

  public var workerCount: Int { workerWakes.count }

  public var usedCount: Int { used.load(ordering: .relaxed) }

  /// How many permits are left; negative right after the limit was lowered below the number of live connections. In one order
  /// with `beginWaiting` and `release`: who finds none left and waits is seen by who gives one back.
  var available: Int { limit.load(ordering: .sequentiallyConsistent) - used.load(ordering: .sequentiallyConsistent) }

  /// One worker's part of the limit, if all have the same.
  var share: Int { limit.load(ordering: .relaxed) / workerCount }

  public func setLimit(_ newLimit: Int) {
    limit.store(newLimit, ordering: .sequentiallyConsistent)
    wakeWaiting()
  }

  /// Takes a permit for one connection.
  func reserve() -> Bool {
    if used.add(1, ordering: .sequentiallyConsistent).newValue <= limit.load(ordering: .sequentiallyConsistent) {
      return true
    }
    release()
    return false
  }

  /// Takes a permit for a connection that the kernel has accepted already, even past the limit.
  func reserveBeyondLimit() { used.add(1, ordering: .sequentiallyConsistent) }

  func release() {
    used.subtract(1, ordering: .sequentiallyConsistent)
    if waiting.load(ordering: .sequentiallyConsistent) > 0 { wakeWaiting() }
  }

  /// Announces that the calling worker will wait; it tries `reserve` once more before it does.
  func beginWaiting() { waiting.add(1, ordering: .sequentiallyConsistent) }
  func endWaiting() { waiting.subtract(1, ordering: .sequentiallyConsistent) }

  private func wakeWaiting() {
    for descriptor in workerWakes { EventDescriptor.notify(descriptor) }
  }
}
