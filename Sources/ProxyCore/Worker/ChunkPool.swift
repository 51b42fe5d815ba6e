// Private memory for connections that need more than the shared receive buffers: the rest of a message that a slow
// reader did not take, and the large buffers of bulk copies.

import Glibc

/// Equally sized chunks out of one reservation of address space. A chunk is resident from its first use on, until a `trim`
/// finds that it has been free all the time since the one before: busy workers never go to the kernel for memory, idle ones
/// hold next to none.
struct ChunkPool: ~Copyable {
  let chunkSize: Int
  private(set) var usedCount = 0
  private let capacity: Int
  private let memory: UnsafeMutablePointer<UInt8>
  /// Numbers of free chunks below the high-water mark, as a stack.
  private let free: UnsafeMutablePointer<UInt32>
  private var freeCount = 0
  private var highWater = 0
  /// So many chunks at the bottom of the stack are not resident.
  private var coldCount = 0
  /// The fewest free chunks at any time since the last `trim`: so many at the bottom of the stack were not used since.
  private var unusedCount = 0
  /// Free chunks that stay resident for the next burst.
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
      coldCount = min(coldCount, freeCount)
      unusedCount = min(unusedCount, freeCount)
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
    free[freeCount] = UInt32(offset / chunkSize)
    freeCount += 1
    usedCount -= 1
  }

  /// Whether free chunks are resident that a `trim` might give back.
  var wantsTrim: Bool { freeCount > coldCount + Self.warmMax }

  /// Gives those chunks back to the kernel that nobody has used since the last call: a burst must not leave its memory
  /// behind, and a chunk that is used every now and then must not be faulted in each time (with 64 busy TLS connections
  /// that took a quarter of the processor time).
  mutating func trim() {
    let firstWarm = min(unusedCount, freeCount - Self.warmMax)
    while coldCount < firstWarm {
      madvise(memory + Int(free[coldCount]) * chunkSize, chunkSize, Int32(MADV_DONTNEED))
      coldCount += 1
    }
    unusedCount = freeCount
  }
}
