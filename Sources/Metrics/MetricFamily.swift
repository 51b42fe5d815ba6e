// The vocabulary in which a metric family is declared to an `Exposition`: its type and its unit.

/// What the samples of a family mean (OpenMetrics 1.0, section "Metric Types").
public enum MetricType: Sendable {
  /// A sum that only grows; its samples are named `…_total`.
  case counter
  /// A present value, which may go up and down.
  case gauge
  /// Durations counted into buckets, with `…_bucket`, `…_sum` and `…_count` samples.
  case histogram
  /// Facts about the process that are told by labels, with the value 1; its samples are named `…_info`.
  case info

  /// The last part of the name of a plain sample.
  var sampleSuffix: String {
    switch self {
    case .counter: "_total"
    case .info: "_info"
    case .gauge, .histogram: ""
    }
  }

  /// Everything that may follow the family's name in a sample's.
  var sampleSuffixes: [String] {
    self == .histogram ? ["_bucket", "_sum", "_count"] : [sampleSuffix]
  }
}

/// The base unit of a family, which is also the last part of its name (before `_total`).
public enum MetricUnit: String, Sendable {
  case seconds
  case bytes
}

extension String {
  /// Whether this is a metric name (`[a-zA-Z_:][a-zA-Z0-9_:]*`) or, without colons, a label name.
  func isMetricIdentifier(colonsAllowed: Bool) -> Bool {
    guard let first = utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        true
      case UInt8(ascii: ":"): colonsAllowed
      default: false
      }
    }
  }
}
