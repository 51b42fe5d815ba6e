// Memory for tables whose size is known but mostly unused. Used by the kernels of this module.

import Glibc

/// Zeroed address space that becomes resident page by page as it is touched. mmap(2).
struct Reservation<Element: BitwiseCopyable>: ~Copyable {
  let elements: UnsafeMutablePointer<Element>
  let count: Int

  init(count: Int) throws(RingError) {
    let bytes = count * MemoryLayout<Element>.stride
    let mapping = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapping, mapping != MAP_FAILED else {
      throw RingError(operation: "mmap of \(bytes) bytes", errno: errno)
    }
    elements = mapping.bindMemory(to: Element.self, capacity: count)
    self.count = count
  }

  deinit { munmap(elements, count * MemoryLayout<Element>.stride) }

  /// Nil for an index that is not among them.
  func pointer(to index: Int32) -> UnsafeMutablePointer<Element>? {
    index >= 0 && Int(index) < count ? elements + Int(index) : nil
  }
}

/// How many descriptors a table is laid out for.
enum DescriptorLimit {
  /// Where the limit is higher, or none: 4 Mi descriptors reserve some 300 MiB of address space.
  private static var most: Int { 1 << 22 }

  /// No descriptor of this process can reach the hard limit, and only a privileged process can raise that.
  static var hard: Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return most }
    return Int(min(limit.rlim_max, rlim_t(most)))
  }
}
