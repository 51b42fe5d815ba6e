// Goal: what a burst has left free goes back, now and then, and never by a clock of its own. Method: times and sizes of the
// test's own in place of the heap's.

import Testing

@testable import ProxyCore

@Suite("Heap trim")
struct HeapTrimTests {
  private static let second: UInt64 = 1_000_000_000

  private enum Work { case nothing, looked, trimmed }

  /// Runs it at a time and says what it did.
  private func run(
    _ heap: inout HeapTrim, at time: UInt64, grown: Int = 200 << 20, free: Int = 100 << 20
  ) -> Work {
    var work = Work.nothing
    heap.run(
      now: time, grown: grown,
      free: {
        work = .looked
        return free
      }, trim: { work = .trimmed })
    return work
  }

  @Test("At once after a burst, and only where there is something to give back")
  func first() {
    var heap = HeapTrim()
    #expect(run(&heap, at: Self.second, free: HeapTrim.keptBytes) == .looked)
    #expect(heap.dueAt == nil)
    #expect(run(&heap, at: 2 * Self.second) == .trimmed)
    #expect(heap.dueAt == nil, "nobody has to come back")
  }

  @Test("A heap that hasn't grown beyond what is kept isn't even looked at: that would hold up who needs memory")
  func small() {
    var heap = HeapTrim()
    #expect(run(&heap, at: Self.second, grown: HeapTrim.keptBytes) == .nothing)
    #expect(heap.dueAt == nil)
    #expect(run(&heap, at: Self.second, grown: HeapTrim.keptBytes + 1) == .trimmed)
  }

  @Test("Looks that find nothing are apart as well, since each goes through all free blocks")
  func looks() {
    var heap = HeapTrim()
    #expect(run(&heap, at: Self.second, free: 0) == .looked)
    #expect(run(&heap, at: Self.second + 1, free: 0) == .nothing)
    #expect(heap.dueAt == Self.second + HeapTrim.lookInterval)
    #expect(run(&heap, at: Self.second + HeapTrim.lookInterval, free: 0) == .looked)
    #expect(heap.dueAt == nil)
  }

  @Test("Bursts in a row wait for the end of the interval, whoever wakes the thread meanwhile, and are not forgotten")
  func interval() {
    var heap = HeapTrim()
    #expect(run(&heap, at: Self.second) == .trimmed)
    #expect(run(&heap, at: 2 * Self.second) == .nothing)
    #expect(heap.dueAt == Self.second + HeapTrim.interval)
    #expect(run(&heap, at: 3 * Self.second) == .nothing)
    #expect(run(&heap, at: Self.second + HeapTrim.interval) == .trimmed)
    #expect(heap.dueAt == nil)
  }
}
