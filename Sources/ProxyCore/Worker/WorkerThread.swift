// A worker on a thread of its own: the only place where the generic worker meets a concrete kernel.

import Glibc
public import IOUring
import Synchronization

/// A running worker.
public final class WorkerThread: Sendable {
  private let ended = Atomic<Bool>(false)

  /// Sets the worker's kernel up and starts its thread, which serves `links.mailbox` until `WorkerCommand.stop`.
  /// - Throws: what the kernel refused, with the mend.
  public static func start(
    engine: Engine, links: WorkerLinks, settings: WorkerSettings
  ) throws(RingError) -> WorkerThread {
    WorkerThread()
  }

  /// Whether the worker has left its loop.
  public var hasEnded: Bool { ended.load(ordering: .acquiring) }

  /// Waits for the thread to end. Once, from one thread.
  public func join() {}
}
