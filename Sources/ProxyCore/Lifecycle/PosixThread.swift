// A plain thread: for the workers, and for what lives beside them, the access log, name resolution, the demo. Not Swift
// concurrency: these threads block in system calls, and the cooperative pool must not.

import CLinux
import Glibc
import IOUring

/// A joinable pthread with a small stack.
public struct PosixThread: Sendable {
  /// Stacks are mapped lazily, but an oversized one still counts against a container that limits address space.
  /// getaddrinfo(3) is the deepest call that threads beside the workers make, and takes about 64 KiB.
  public static let stackBytesDefault = 262_144

  private let thread: pthread_t

  /// Starts a thread as `make` does.
  public static func start(name: String, _ body: @escaping @Sendable () -> Void) -> PosixThread {
    // Only a limit on processes or memory of a few pages can refuse this, and then nothing else works either.
    do throws(KernelError) {
      return try make(name: name, body)
    } catch {
      fatalError("pthread_create failed: \(String(cString: strerror(error.errno)))")
    }
  }

  /// Starts a thread with all signals as blocked as the caller's.
  ///
  /// - Parameters:
  ///   - name: shown by ps(1) and debuggers; at most 15 bytes, as pthread_setname_np(3) demands.
  ///   - body: runs on the new thread.
  /// - Throws: what pthread_create(3) says.
  static func make(
    name: String, stackBytes: Int = stackBytesDefault, _ body: @escaping @Sendable () -> Void
  ) throws(KernelError) -> PosixThread {
    precondition(name.utf8.count <= 15, "thread name \(name) is too long")
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackBytes)
    var thread = pthread_t()
    let start = Unmanaged.passRetained(Start(name: name, body: body))
    let result = pthread_create(
      &thread, &attributes,
      { argument in
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        // By the thread itself, which takes a system call; another thread's name is a file to write, and not in reach
        // of a confined process.
        pthread_setname_np(pthread_self(), start.name)
        start.body()
        return nil
      }, start.toOpaque())
    guard result == 0 else {
      start.release()
      throw KernelError(errno: result)
    }
    return PosixThread(thread: thread)
  }

  /// Waits for the thread to end. Once.
  public func join() { pthread_join(thread, nil) }

  /// Lets go of a thread that nobody waits for, so that its stack is given back when it ends. Once, in place of `join`.
  public func detach() { pthread_detach(thread) }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}
