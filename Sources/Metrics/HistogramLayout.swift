// Latency histograms over the cells of a `MetricBlock`: which buckets there are, and how the data path records one
// duration. The exposition reads the same layout to print the buckets.

/// The bucket bounds of a histogram of durations, and its order of cells in a `MetricBlock`.
///
/// A histogram takes `cellCount` consecutive cells: one per bound, counting the durations up to and including that bound
/// and above the one before it; one for what lies above the last bound; and the sum of all durations in nanoseconds.
/// There is no cell for the number of durations: it is the sum of the buckets, and so a scrape that reads while the
/// worker writes still finds the two equal.
///
/// The bounds live in memory of their own, outside any array, so that a layout is a trivial value: the data path
/// reads it without reference counting. Layouts are made once, at set-up, and normally live as long as the process.
///
/// `@unchecked Sendable`: the memory behind the pointer is never written after `init`.
@frozen
public struct HistogramLayout: @unchecked Sendable {
  @usableFromInline let bounds: UnsafePointer<UInt64>

  /// The number of finite bounds; there is one bucket more, which has none.
  public let boundCount: Int

  /// Copies the inclusive upper bounds, in nanoseconds: at least one, above zero, strictly ascending.
  public init(upperBounds: [UInt64]) {
    precondition(!upperBounds.isEmpty && upperBounds[0] > 0, "a histogram has a bound, and none at zero")
    precondition(zip(upperBounds, upperBounds.dropFirst()).allSatisfy(<), "histogram bounds ascend")
    let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: upperBounds.count)
    memory.initialize(from: upperBounds, count: upperBounds.count)
    bounds = UnsafePointer(memory)
    boundCount = upperBounds.count
  }

  /// Frees the bounds. Every copy of this layout dangles afterwards; never call it on the static ones.
  public func deallocate() {
    bounds.deallocate()
  }

  /// The number of consecutive cells that one histogram takes.
  @inlinable
  public var cellCount: Int { boundCount &+ 2 }

  /// The offset, from the histogram's first cell, of the sum in nanoseconds.
  ///
  /// The sum wraps at 2⁶⁴ ns, 584 years of recorded time: with 10,000 connections open at all times that is every 21
  /// days. Prometheus takes the wrap for a restart of the counter.
  @inlinable
  public var sumOffset: Int { boundCount &+ 1 }

  /// The inclusive upper bound of a bucket in nanoseconds.
  public subscript(bound index: Int) -> UInt64 {
    precondition(index >= 0 && index < boundCount, "no such histogram bound")
    return bounds[index]
  }

  /// Counts one duration into the histogram that begins at `firstCell`. Only the block's writing thread calls this.
  @inlinable @inline(__always)
  public func record(nanoseconds: UInt64, in block: MetricBlock, at firstCell: Int) {
    block.add(firstCell &+ bucket(nanoseconds: nanoseconds))
    block.add(firstCell &+ sumOffset, nanoseconds)
  }

  /// The offset of the bucket that a duration falls into: the number of bounds below it.
  ///
  /// It looks at every bound, without a branch that depends on the duration. A binary search is fewer comparisons but
  /// mispredicted branches: with 17 bounds and durations spread evenly over the buckets, recording took 17 ns with the
  /// search and 7 ns this way (x86-64, medians of interleaved runs).
  @inlinable @inline(__always)
  public func bucket(nanoseconds: UInt64) -> Int {
    var below = 0
    var index = 0
    while index < boundCount {
      below &+= bounds[index] < nanoseconds ? 1 : 0
      index &+= 1
    }
    return below
  }
}

extension HistogramLayout {
  /// For what a peer waits for, such as a connect or a handshake: 50 µs to 10 s.
  ///
  /// Reading a static property checks that it is initialized; the data path keeps a copy.
  public static let latency = HistogramLayout(upperBounds: [
    50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000,
    1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
  ])

  /// For how long something lives, such as a connection: 1 ms to 1 h.
  ///
  /// Reading a static property checks that it is initialized; the data path keeps a copy.
  public static let lifetime = HistogramLayout(upperBounds: [
    1_000_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000,
    1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
    60_000_000_000, 300_000_000_000, 600_000_000_000, 1_800_000_000_000, 3_600_000_000_000,
  ])
}
