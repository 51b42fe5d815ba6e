// The provided receive buffers of a ring: memory that the kernel picks from when data arrives, so that an idle
// connection holds none. Owned by `Ring`. io_uring_register_buf_ring(3).

import CIOUring
import Glibc

/// A registered buffer ring and its buffers, in one mapping: first the descriptors, then the buffers.
///
/// The kernel takes buffers in ring order, so that a busy worker touches all of them: `size × count` is resident
/// memory then. An untouched one costs nothing.
@usableFromInline
struct BufferRing: ~Copyable {
  @usableFromInline let entries: UnsafeMutablePointer<io_uring_buf_ring>
  @usableFromInline let buffers: UnsafeMutableRawPointer
  @usableFromInline let bufferSize: Int
  @usableFromInline let count: Int
  private let mappedBytes: Int

  /// Buffer groups are numbered per ring; each ring has this one.
  @usableFromInline static var group: UInt16 { 0 }

  /// - Parameters:
  ///   - bufferSize: bytes per buffer, a multiple of the page size.
  ///   - count: how many; a power of two up to 32,768, as the kernel demands.
  init(ring: UnsafeMutablePointer<io_uring>, bufferSize: Int, count: Int) throws(RingError) {
    precondition(count > 0 && count <= 32_768 && count & (count - 1) == 0, "buffer count \(count) is no power of two")
    let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
    let entriesBytes = (count * MemoryLayout<io_uring_buf>.stride + pageSize - 1) / pageSize * pageSize
    let mappedBytes = entriesBytes + bufferSize * count
    let mapping = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapping, mapping != MAP_FAILED else {
      throw RingError(operation: "mmap of \(mappedBytes) bytes of receive buffers", errno: errno)
    }
    var registration = io_uring_buf_reg()
    registration.ring_addr = UInt64(UInt(bitPattern: mapping))
    registration.ring_entries = UInt32(count)
    registration.bgid = BufferRing.group
    let registered = io_uring_register_buf_ring(ring, &registration, 0)
    guard registered == 0 else {
      munmap(mapping, mappedBytes)
      throw RingError(operation: "io_uring_register (PBUF_RING)", errno: -registered)
    }
    self.entries = mapping.bindMemory(to: io_uring_buf_ring.self, capacity: 1)
    self.buffers = mapping + entriesBytes
    self.bufferSize = bufferSize
    self.count = count
    self.mappedBytes = mappedBytes
    io_uring_buf_ring_init(entries)
    for index in 0..<count { add(BufferID(rawValue: UInt16(index))) }
  }

  deinit { munmap(UnsafeMutableRawPointer(entries), mappedBytes) }

  @inlinable
  func address(_ buffer: BufferID) -> UnsafeMutableRawPointer {
    buffers + Int(buffer.rawValue) &* bufferSize
  }

  /// Hands a buffer to the kernel.
  @inlinable
  func add(_ buffer: BufferID) {
    sidecar_buffer_ring_add(
      entries, address(buffer), UInt32(truncatingIfNeeded: bufferSize), buffer.rawValue,
      Int32(truncatingIfNeeded: count &- 1))
  }
}
