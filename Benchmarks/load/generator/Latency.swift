// Latencies of a window, kept in an HdrHistogram: three significant digits from a nanosecond to a minute.

import Histogram

struct Latency {
  private var histogram = Latency.empty(.three)

  mutating func record(from begin: UInt64, to end: UInt64) {
    histogram.record(min(end > begin ? end - begin : 0, Latency.highest))
  }

  /// How many messages it has, percentiles in nanoseconds, and the histogram itself, as a JSON object.
  var json: String {
    let percentiles = [("p50", 50.0), ("p90", 90), ("p99", 99), ("p999", 99.9)]
    let members = percentiles.map { "\"\($0.0)\": \(histogram.valueAtPercentile($0.1))" }.joined(separator: ", ")
    let pairs = buckets.map { "[\($0.value),\($0.count)]" }.joined(separator: ",")
    return "{\"count\": \(histogram.totalCount), \(members), \"max\": \(histogram.maxRecorded), "
      + "\"buckets\": [\(pairs)]}"
  }

  /// The buckets that have something in them: the highest value that each stands for, which is what percentiles give, and
  /// its count. To two significant digits, which is within 1 of 128: with three nearly every message has a bucket to itself.
  /// Either kind splits octaves into equal parts, so that no finer bucket lies in two coarser ones.
  private var buckets: [(value: UInt64, count: UInt32)] {
    var coarse = Latency.empty(.two)
    for bucket in histogram.recordedValues() { coarse.record(bucket.value, count: bucket.count) }
    return coarse.recordedValues().map { (min($0.value, histogram.maxRecorded), $0.count) }
  }

  private static let highest: UInt64 = 60_000_000_000

  private static func empty(_ digits: SignificantDigits) -> Histogram<UInt32> {
    Histogram(highestTrackableValue: highest, numberOfSignificantValueDigits: digits)
  }
}
