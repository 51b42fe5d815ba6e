// Bytes of streams that the origin has taken, where the load can see them while they flow: what a load has sent may still
// be in the buffers on the way, for which no proxy has worked yet.

import ArgumentParser
import Glibc
import Synchronization

/// A count in a file that processes share; for the life of the process.
struct SharedCount: ExpressibleByArgument {
  private let count: UnsafeMutablePointer<Atomic<UInt64>>

  /// By the file's path. Made if it isn't there.
  init?(argument: String) {
    let file = open(argument, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { return nil }
    defer { close(file) }
    let size = MemoryLayout<Atomic<UInt64>>.size
    guard ftruncate(file, off_t(size)) == 0,
      let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED
    else { return nil }
    count = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  var value: UInt64 { count.pointee.load(ordering: .relaxed) }
  func add(_ bytes: Int) { count.pointee.wrappingAdd(UInt64(bytes), ordering: .relaxed) }
}
