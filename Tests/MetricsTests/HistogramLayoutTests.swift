// Goal: each duration lands in the bucket that Prometheus expects (`le` is inclusive), and nothing a clock can say traps.
// Method: the values on, one below and one above every bound, against a plain search; whole ranges of bound counts.

import Testing

@testable import Metrics

@Suite struct HistogramLayoutTests {
  @Test(arguments: [HistogramLayout.latency, HistogramLayout.lifetime])
  func aValueOnTheBoundBelongsToItsBucket(layout: HistogramLayout) {
    #expect(layout.bucket(nanoseconds: 0) == 0)
    for index in 0..<layout.boundCount {
      let bound = layout[bound: index]
      #expect(layout.bucket(nanoseconds: bound - 1) == index)
      #expect(layout.bucket(nanoseconds: bound) == index)
      #expect(layout.bucket(nanoseconds: bound + 1) == index + 1)
    }
    #expect(layout.bucket(nanoseconds: .max) == layout.boundCount)
  }

  @Test func standardLayoutsCoverTheirRanges() {
    #expect(HistogramLayout.latency[bound: 0] == 50_000)
    #expect(HistogramLayout.latency[bound: HistogramLayout.latency.boundCount - 1] == 10_000_000_000)
    #expect(HistogramLayout.lifetime[bound: 0] == 1_000_000)
    #expect(HistogramLayout.lifetime[bound: HistogramLayout.lifetime.boundCount - 1] == 3_600_000_000_000)
  }

  @Test(arguments: 1...40)
  func everyNumberOfBoundsFindsTheSameBucketAsASearch(count: Int) {
    let bounds = (1...count).map { UInt64($0 * $0 * 10) }
    let layout = HistogramLayout(upperBounds: bounds)
    defer { layout.deallocate() }
    for value in 0...UInt64(count * count * 10 + 1) {
      #expect(layout.bucket(nanoseconds: value) == (bounds.firstIndex { value <= $0 } ?? count))
    }
  }

  @Test func recordCountsIntoItsOwnCellsOnly() {
    let layout = HistogramLayout(upperBounds: [10, 20])
    defer { layout.deallocate() }
    let block = MetricBlock.allocate(cells: 6)
    defer { block.deallocate() }
    for value: UInt64 in [0, 10, 11, 20, 21, 1000] {
      layout.record(nanoseconds: value, in: block, at: 1)
    }
    #expect(layout.cellCount == 4)
    #expect(MetricBlock.sum(of: [block]) == [0, 2, 2, 2, 1062, 0])
  }

  @Test func theSumWrapsInsteadOfTrapping() {
    let layout = HistogramLayout(upperBounds: [10])
    defer { layout.deallocate() }
    let block = MetricBlock.allocate(cells: layout.cellCount)
    defer { block.deallocate() }
    layout.record(nanoseconds: .max, in: block, at: 0)
    layout.record(nanoseconds: 6, in: block, at: 0)
    #expect(MetricBlock.sum(of: [block]) == [1, 1, 5])
  }

  @Test func aHistogramBeyondItsBlockTraps() async {
    await #expect(processExitsWith: .failure) {
      let block = MetricBlock.allocate(cells: HistogramLayout.latency.cellCount)
      HistogramLayout.latency.record(nanoseconds: 1, in: block, at: 1)
    }
  }

  @Test func unsortedOrEmptyBoundsTrap() async {
    await #expect(processExitsWith: .failure) { _ = HistogramLayout(upperBounds: []) }
    await #expect(processExitsWith: .failure) { _ = HistogramLayout(upperBounds: [0, 1]) }
    await #expect(processExitsWith: .failure) { _ = HistogramLayout(upperBounds: [1, 1]) }
    await #expect(processExitsWith: .failure) { _ = HistogramLayout(upperBounds: [2, 1]) }
  }
}
