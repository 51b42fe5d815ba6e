// Certificates that change all the time, beside whatever else a test does.

import Synchronization
import TestSupport

/// Replaces the certificates of a pair again and again, until told to stop.
final class Rotation: Sendable {
  private let stops = Atomic<Bool>(false)
  private let count = Counter()
  private let job = Mutex<BackgroundJob<Void>?>(nil)

  init(of pair: SidecarPair, by authority: Authority) {
    let started = BackgroundJob { [self] in
      while !stops.load(ordering: .relaxed) {
        try pair.rotate(authority, bundle: authority.bundle)
        count.add()
      }
    }
    job.withLock { $0 = started }
  }

  /// - Returns: how many rotations there were.
  func stop(atLeast minimum: Int) throws -> Int {
    let job = job.withLock { $0 }
    try eventually("\(minimum) rotations") {
      try job?.rethrow()
      return count.value >= minimum
    }
    stops.store(true, ordering: .relaxed)
    try job?.wait()
    return count.value
  }
}
