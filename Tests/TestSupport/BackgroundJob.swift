// Threads for blocking work. Tests use them in place of tasks, because a blocking call would take one of the few
// threads that Swift's executor has.

import Glibc
import Synchronization

/// A closure that runs on a thread of its own.
package final class BackgroundJob<Value: Sendable>: Sendable {
  private let outcome: Outcome
  private let thread: pthread_t
  private let isJoined = Mutex(false)

  private final class Outcome: Sendable {
    let result = Mutex<Result<Value, any Error>?>(nil)
  }

  package init(_ body: @escaping @Sendable () throws -> Value) {
    let outcome = Outcome()
    self.outcome = outcome
    var thread = pthread_t()
    // Only the thread keeps the closure, which often keeps whoever keeps the job.
    let argument = Unmanaged.passRetained(
      ThreadMain {
        let result = Result { try body() }
        outcome.result.withLock { $0 = result }
      }
    ).toOpaque()
    let result = pthread_create(
      &thread, nil,
      { argument in
        // pthread_create passes on what it was given, which is never nil here.
        Unmanaged<ThreadMain>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, argument)
    precondition(result == 0, "pthread_create: \(String(cString: strerror(result)))")
    self.thread = thread
  }

  deinit { join() }

  package var isFinished: Bool { outcome.result.withLock { $0 != nil } }

  /// Throws what the closure threw, if it has ended that way.
  package func rethrow() throws { _ = try outcome.result.withLock { $0 }?.get() }

  /// Waits for the end of the closure and gives its value.
  package func wait() throws -> Value {
    join()
    // A joined thread has stored its result.
    return try outcome.result.withLock { $0! }.get()
  }

  private func join() {
    isJoined.withLock { isJoined in
      if !isJoined { pthread_join(thread, nil) }
      isJoined = true
    }
  }
}

/// Carries a closure through pthread_create's pointer.
private final class ThreadMain {
  let body: () -> Void

  init(_ body: @escaping () -> Void) { self.body = body }
}

/// Runs a closure on `count` threads at once and waits for all of them.
///
/// - Returns: the values in the order of the numbers that the closure was given, which begin at 0.
package func concurrently<Value: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
  let jobs = (0..<count).map { number in BackgroundJob { try body(number) } }
  // All are waited for, whichever fails, so that none outlives the test.
  return try jobs.map { job in Result { try job.wait() } }.map { try $0.get() }
}
