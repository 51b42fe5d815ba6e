// eventfd(2): how one thread wakes another that sleeps in a kernel.

import CIOUring
import Glibc

/// A non-blocking, close-on-exec eventfd.
public enum EventDescriptor {
  /// - Throws: the errno, EMFILE for the most part.
  public static func make() throws(KernelError) -> Descriptor {
    let descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    guard descriptor >= 0 else { throw KernelError(errno: errno) }
    return Descriptor(rawValue: descriptor)
  }

  /// Makes the descriptor readable. Safe from any thread.
  public static func notify(_ descriptor: Descriptor) {
    var one: UInt64 = 1
    // EAGAIN means that the counter is full, and thus readable.
    _ = write(descriptor.rawValue, &one, MemoryLayout<UInt64>.size)
  }

  /// Takes the notifications that have arrived, so that the descriptor is no longer readable.
  public static func acknowledge(_ descriptor: Descriptor) {
    var count: UInt64 = 0
    _ = read(descriptor.rawValue, &count, MemoryLayout<UInt64>.size)
  }
}
