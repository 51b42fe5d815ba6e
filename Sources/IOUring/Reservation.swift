// Memory for tables whose size is known but mostly unused. Used by the epoll kernel.

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
}
