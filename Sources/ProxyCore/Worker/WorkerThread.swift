// A worker on a thread of its own: the only place where the generic worker meets a concrete kernel, and thus where the
// compiler specialises it.

import Glibc
public import IOUring
import Synchronization

/// A running worker.
public final class WorkerThread: Sendable {
  private let ended = Atomic<Bool>(false)
  private let thread = Mutex<PosixThread?>(nil)
  private let controlWake: Descriptor

  private init(controlWake: Descriptor) {
    self.controlWake = controlWake
  }

  /// Sets the worker's kernel up and starts its thread, which serves `links.mailbox` until `WorkerCommand.stop`.
  /// - Throws: what the kernel refused, with the mend.
  public static func start(
    engine: Engine, links: WorkerLinks, settings: WorkerSettings
  ) throws(RingError) -> WorkerThread {
    let worker = WorkerThread(controlWake: links.controlWake)
    switch engine {
    case .ioUring:
      let ring = RingWorker(ring: try Ring(), links: links, settings: settings)
      try worker.launch(links.index) { ring.run() }
    case .epoll:
      let epoll = EpollWorker(epoll: try Epoll(), links: links, settings: settings)
      try worker.launch(links.index) { epoll.run() }
    }
    return worker
  }

  /// Whether the worker has left its loop.
  public var hasEnded: Bool { ended.load(ordering: .acquiring) }

  /// Waits for the thread to end. Once, from one thread.
  public func join() {
    thread.withLock { $0 }?.join()
  }

  /// A worker calls little and recurses never; the default of 8 MiB would only be address space, but it counts
  /// against `ulimit -v`.
  private static var stackBytes: Int { 524_288 }

  private func launch(_ index: Int, _ body: @escaping @Sendable () -> Void) throws(RingError) {
    do throws(KernelError) {
      let thread = try PosixThread.make(name: "worker \(index)", stackBytes: Self.stackBytes) {
        body()
        self.ended.store(true, ordering: .releasing)
        EventDescriptor.notify(self.controlWake)
      }
      self.thread.withLock { $0 = thread }
    } catch {
      throw RingError(operation: "pthread_create", errno: error.errno)
    }
  }
}

/// Carries a ring from the thread that sets it up to the one that uses it.
///
/// `@unchecked Sendable`: written once before the thread starts, taken once by it.
private final class RingWorker: @unchecked Sendable {
  private var worker: Worker<Ring>?

  init(ring: consuming Ring, links: WorkerLinks, settings: WorkerSettings) {
    worker = Worker(kernel: ring, links: links, settings: settings)
  }

  func run() {
    guard var worker = worker.take() else { return }
    do {
      try worker.kernel.enable()
    } catch {
      fatalError("worker \(worker.links.index): \(error)")
    }
    worker.run()
  }
}

/// Carries an epoll kernel from the thread that sets it up to the one that uses it.
///
/// `@unchecked Sendable`: written once before the thread starts, taken once by it.
private final class EpollWorker: @unchecked Sendable {
  private var worker: Worker<Epoll>?

  init(epoll: consuming Epoll, links: WorkerLinks, settings: WorkerSettings) {
    worker = Worker(kernel: epoll, links: links, settings: settings)
  }

  func run() {
    guard var worker = worker.take() else { return }
    worker.run()
  }
}
