// Goal: the data path's counters lose nothing, wrap instead of trapping, can be read while they are written, and cost
// memory only where they are used.
// Method: direct calls; a writer thread against a reading one; mincore(2) for what is resident; exit tests for traps.

import Glibc
import Testing

@testable import Metrics

@Suite struct MetricBlockTests {
  @Test func cellsBeginAtZeroAndAreIndependent() {
    let block = MetricBlock.allocate(cells: 3)
    defer { block.deallocate() }
    #expect(MetricBlock.sum(of: [block]) == [0, 0, 0])
    block.add(0)
    block.add(1, 41)
    block.add(1)
    block.store(2, 7)
    block.store(2, 5)
    #expect(block.count == 3)
    #expect([block.load(0), block.load(1), block.load(2)] == [1, 42, 5])
  }

  @Test func additionWrapsInsteadOfTrapping() {
    let block = MetricBlock.allocate(cells: 1)
    defer { block.deallocate() }
    block.store(0, .max - 1)
    block.add(0)
    #expect(block.load(0) == .max)
    block.add(0, 3)
    #expect(block.load(0) == 2)
    // A gauge goes down by adding the two's complement.
    block.add(0, 0 &- 1)
    #expect(block.load(0) == 1)
  }

  @Test func sumAddsBlocksCellByCellAndWraps() {
    let blocks = [MetricBlock.allocate(cells: 2), MetricBlock.allocate(cells: 2), MetricBlock.allocate(cells: 2)]
    defer { for block in blocks { block.deallocate() } }
    for (index, block) in blocks.enumerated() { block.store(0, UInt64(index + 1)) }
    blocks[0].store(1, .max)
    blocks[2].store(1, 10)
    #expect(MetricBlock.sum(of: blocks) == [6, 9])
    #expect(MetricBlock.sum(of: []) == [])
  }

  @Test func cellsStartOnACacheLine() {
    let block = MetricBlock.allocate(cells: 1)
    defer { block.deallocate() }
    #expect(UInt(bitPattern: block.cells) % 64 == 0)
  }

  /// 1 MiB of cells, of which one is written and all are read: one page may be resident, and reading maps none.
  @Test func onlyWrittenPagesBecomeResident() throws {
    let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
    let block = MetricBlock.allocate(cells: 1 << 17)
    defer { block.deallocate() }
    // Where huge pages are on for everyone, the one page could be of 2 MiB.
    _ = madvise(block.cells, block.count * 8, MADV_NOHUGEPAGE)
    var residency = [UInt8](repeating: 0, count: block.count * 8 / pageSize)
    func residentPages() -> Int {
      #expect(mincore(block.cells, block.count * 8, &residency) == 0)
      return residency.count { $0 & 1 == 1 }
    }
    #expect(residentPages() == 0)
    block.add(block.count / 2)
    #expect(residentPages() == 1)
  }

  /// Each step of the writer adds the same to the upper and to the lower half of the cell, so that a torn read would
  /// show as unequal halves, and a lost or reordered one as a value below an earlier one.
  @Test func aReaderNeverSeesATornOrDecreasingValue() {
    let steps: UInt64 = 2_000_000
    let step: UInt64 = 1 << 32 | 1
    let block = MetricBlock.allocate(cells: 16)
    let gate = MetricBlock.allocate(cells: 1)
    defer {
      block.deallocate()
      gate.deallocate()
    }
    var work = Writer(block: block, gate: gate, cell: 5, step: step, steps: steps)
    var thread = pthread_t()
    let created = pthread_create(&thread, nil, { Writer.run($0!.load(as: Writer.self)) }, &work)
    guard created == 0 else {
      Issue.record("pthread_create: \(String(cString: strerror(created)))")
      return
    }

    gate.store(0, 1)
    var last: UInt64 = 0
    var torn = 0
    var decreased = 0
    while last < step * steps {
      let value = block.load(5)
      if value >> 32 != value & 0xFFFF_FFFF { torn += 1 }
      if value < last { decreased += 1 }
      last = value
    }
    pthread_join(thread, nil)
    #expect(torn == 0)
    #expect(decreased == 0)
    #expect(block.load(5) == step * steps)
  }

  @Test func aCellOutOfRangeTraps() async {
    await #expect(processExitsWith: .failure) {
      MetricBlock.allocate(cells: 4).add(4)
    }
    await #expect(processExitsWith: .failure) {
      MetricBlock.allocate(cells: 4).add(-1)
    }
    await #expect(processExitsWith: .failure) {
      _ = MetricBlock.allocate(cells: 4).load(.max)
    }
  }

  @Test func blocksOfDifferentSizeDontAdd() async {
    await #expect(processExitsWith: .failure) {
      _ = MetricBlock.sum(of: [MetricBlock.allocate(cells: 1), MetricBlock.allocate(cells: 2)])
    }
  }
}

private struct Writer {
  let block: MetricBlock
  let gate: MetricBlock
  let cell: Int
  let step: UInt64
  let steps: UInt64

  /// The thread's body. It waits for the gate, so that reads really fall between writes.
  static func run(_ work: Writer) -> UnsafeMutableRawPointer? {
    while work.gate.load(0) == 0 { sched_yield() }
    for _ in 0..<work.steps { work.block.add(work.cell, work.step) }
    return nil
  }
}
