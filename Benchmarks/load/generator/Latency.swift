// Latencies of a window, kept in an HdrHistogram: three significant digits from a nanosecond to a minute.

import Histogram

struct Latency {
  private var histogram = Histogram<UInt32>(
    highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)

  mutating func record(from begin: UInt64, to end: UInt64) {
    histogram.record(min(end > begin ? end - begin : 0, 60_000_000_000))
  }

  /// How many messages it has, and percentiles in nanoseconds, as a JSON object.
  var json: String {
    let percentiles = [("p50", 50.0), ("p90", 90), ("p99", 99), ("p999", 99.9)]
    let members = percentiles.map { "\"\($0.0)\": \(histogram.valueAtPercentile($0.1))" }
    return "{\"count\": \(histogram.totalCount), \(members.joined(separator: ", ")), \"max\": \(histogram.maxRecorded)}"
  }
}
