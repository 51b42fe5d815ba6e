// Goal: what a burst has left free goes back, now and then, and never by a clock of its own. Method: times and sizes of the
// test's own in place of the heap's.

import Testing

@testable import ProxyCore

@Suite("Heap trim")
struct HeapTrimTests {
  private static let second: UInt64 = 1_000_000_000

  /// Runs it at a time and says whether it trimmed.
  private func trims(_ heap: inout HeapTrim, at time: UInt64, free: Int = 100 << 20) -> Bool {
    var hasTrimmed = false
    heap.run(now: time, free: { free }, trim: { hasTrimmed = true })
    return hasTrimmed
  }

  @Test("At once after a burst, and only where there is something to give back")
  func first() {
    var heap = HeapTrim()
    #expect(!trims(&heap, at: Self.second, free: HeapTrim.keptBytes))
    #expect(heap.dueAt == nil)
    #expect(trims(&heap, at: Self.second))
    #expect(heap.dueAt == nil, "nobody has to come back")
  }

  @Test("Bursts in a row wait for the end of the interval, whoever wakes the thread meanwhile, and are not forgotten")
  func interval() {
    var heap = HeapTrim()
    #expect(trims(&heap, at: Self.second))
    #expect(!trims(&heap, at: 2 * Self.second))
    #expect(heap.dueAt == Self.second + HeapTrim.interval)
    #expect(!trims(&heap, at: 3 * Self.second))
    #expect(trims(&heap, at: Self.second + HeapTrim.interval))
    #expect(heap.dueAt == nil)
  }
}
