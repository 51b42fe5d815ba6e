// Private memory for connections that need more than the shared receive buffers: the rest of a message that a slow
// reader did not take, and the large buffers of bulk copies.

import Glibc

/// Equally sized chunks out of one reservation of address space. A chunk is resident while it is used; of the free
/// ones a few stay warm and the others go back to the kernel.
struct ChunkPool: ~Copyable {
  let chunkSize: Int
  private(set) var usedCount = 0
  private let capacity: Int
  private let memory: UnsafeMutablePointer<UInt8>
  /// Numbers of free chunks below the high-water mark, as a stack.
  private let free: UnsafeMutablePointer<UInt32>
  private var freeCount = 0
  private var highWater = 0
  /// The top of the stack may be resident, everything below is not.
  private static var warmMax: Int { 8 }

  /// A chunk is at least `chunkSize` bytes: whole pages, since madvise(2) would take part of its neighbour along.
  init(chunkSize: Int, capacity: Int) {
    let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
    let chunkSize = (chunkSize + pageSize - 1) / pageSize * pageSize
    self.chunkSize = chunkSize
    self.capacity = capacity
    memory = .mapped(capacity: chunkSize * capacity)
    free = .mapped(capacity: capacity)
  }

  deinit {
    memory.unmap(capacity: chunkSize * capacity)
    free.unmap(capacity: capacity)
  }

  /// A chunk with undefined content; nil when all are taken.
  mutating func take() -> UnsafeMutableRawPointer? {
    let index: Int
    if freeCount > 0 {
      freeCount -= 1
      index = Int(free[freeCount])
    } else {
      guard highWater < capacity else { return nil }
      index = highWater
      highWater += 1
    }
    usedCount += 1
    return UnsafeMutableRawPointer(memory + index * chunkSize)
  }

  mutating func giveBack(_ chunk: UnsafeMutableRawPointer) {
    let offset = chunk - UnsafeMutableRawPointer(memory)
    precondition(offset >= 0 && offset % chunkSize == 0 && offset < highWater * chunkSize, "not a chunk of this pool")
    // A burst of slow readers must not leave its memory behind.
    if freeCount >= Self.warmMax { madvise(chunk, chunkSize, Int32(MADV_DONTNEED)) }
    free[freeCount] = UInt32(offset / chunkSize)
    freeCount += 1
    usedCount -= 1
  }
}
