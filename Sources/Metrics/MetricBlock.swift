// The storage that the data path counts into: a flat array of 64-bit cells with one writing thread and any number of
// readers. A worker owns one block and adds to it per message; whoever answers a scrape sums the blocks of all workers.
// What a cell means is the caller's business; a histogram takes several in a row (see `HistogramLayout`).

import Glibc
import Synchronization

/// A fixed number of 64-bit cells, all zero at first, written by exactly one thread and read by any.
///
/// The value is a pointer and a count: copies refer to the same cells, and none of them owns the memory, so that passing
/// one around costs no reference counting. Whoever allocates a block deallocates it, after its last reader is done.
///
/// Not for counters that several threads write: `add` is a load and a store, and two writers would lose counts.
///
/// `@unchecked Sendable`: the pointer keeps the compiler from proving it, but each access to the memory behind it is a
/// single atomic operation, and the one-writer rule makes the load-then-store of `add` free of lost updates.
@frozen
public struct MetricBlock: @unchecked Sendable {
  @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>

  /// The number of cells.
  public let count: Int

  @usableFromInline
  init(cells: UnsafeMutablePointer<Atomic<UInt64>>, count: Int) {
    self.cells = cells
    self.count = count
  }

  /// Maps a block of zeroed cells.
  ///
  /// The memory is whole pages straight from the kernel, mmap(2). A page becomes resident when a cell of it is first
  /// written (reading maps the shared zero page), so a large and mostly idle block costs next to nothing; and no other
  /// thread's data lies in its cache lines, so that workers don't slow each other by false sharing.
  ///
  /// Traps when the kernel refuses the memory, as Swift's own allocations do.
  public static func allocate(cells count: Int) -> MetricBlock {
    precondition(count > 0 && count <= countMax, "a block has at least one cell")
    // Zero bytes are a valid `Atomic<UInt64>` of 0 only as long as it is laid out as the integer itself.
    precondition(MemoryLayout<Atomic<UInt64>>.stride == 8 && MemoryLayout<Atomic<UInt64>>.alignment == 8)
    let memory = mmap(nil, count * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      fatalError("no memory for \(count) metric cells: \(String(cString: strerror(errno)))")
    }
    return MetricBlock(cells: memory.bindMemory(to: Atomic<UInt64>.self, capacity: count), count: count)
  }

  /// Unmaps the cells. Every copy of this block dangles afterwards.
  public func deallocate() {
    let result = munmap(cells, count * 8)
    precondition(result == 0, "a block is deallocated once, whole")
  }

  /// Adds `amount` to a cell, wrapping at 2⁶⁴. Only the writing thread calls this.
  ///
  /// A relaxed load and a relaxed store are plain moves on x86-64 and arm64. An atomic addition would take the cache
  /// line exclusively (`lock xadd`) to protect against other writers, and there are none.
  @inlinable @inline(__always)
  public func add(_ cell: Int, _ amount: UInt64 = 1) {
    checkBounds(cell)
    cells[cell].store(cells[cell].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }

  /// Sets a cell, for gauges. Only the writing thread calls this.
  @inlinable @inline(__always)
  public func store(_ cell: Int, _ value: UInt64) {
    checkBounds(cell)
    cells[cell].store(value, ordering: .relaxed)
  }

  /// The present value of a cell. Any thread may call this; the order of changes to different cells is not kept.
  @inlinable @inline(__always)
  public func load(_ cell: Int) -> UInt64 {
    checkBounds(cell)
    return cells[cell].load(ordering: .relaxed)
  }

  /// Adds up equally laid out blocks cell by cell, wrapping at 2⁶⁴: one worker's share each in, the process's total out.
  ///
  /// Each cell is read once, so no cell that only grows ever seems to shrink from one sum to the next.
  public static func sum(of blocks: [MetricBlock]) -> [UInt64] {
    guard let first = blocks.first else { return [] }
    var totals = [UInt64](repeating: 0, count: first.count)
    for block in blocks {
      precondition(block.count == first.count, "blocks that are summed have the same cells")
      for cell in 0..<block.count {
        totals[cell] &+= block.load(cell)
      }
    }
    return totals
  }

  /// One unsigned comparison covers both ends.
  @inlinable @inline(__always)
  func checkBounds(_ cell: Int) {
    precondition(UInt(bitPattern: cell) < UInt(bitPattern: count), "no such metric cell")
  }

  /// 2 GiB of cells: far above any use, and it keeps the size in bytes from overflowing.
  private static let countMax = 1 << 28
}
