// Renders metrics as Prometheus reads them. The admin thread makes one `Exposition` per scrape, declares each family
// once with all its samples after it, and sends the bytes.
//
// Sources: "Exposition formats" of the Prometheus documentation (text format 0.0.4) and the OpenMetrics 1.0.0
// specification.

/// The body of one scrape, in either format.
///
/// Families are declared by their bare OpenMetrics name, without `_total` or `_info`; the suffixes go where each format
/// wants them. What the formats forbid and only our own code could do (a family or a label set given twice, a sample
/// without a family, a malformed name) traps. So a label value that is not ours, such as a listener's name, has to be
/// unique before it gets here.
public struct Exposition: Sendable {
  public let format: ExpositionFormat

  private var bytes: [UInt8] = []
  private var family: Family?
  /// The names of all samples so far. Families may not share one: a gauge `x_count` collides with a histogram `x`.
  private var sampleNames: Set<String> = []
  /// The labels of the present family's samples so far.
  private var seriesLabels: Set<Labels> = []

  public init(format: ExpositionFormat) {
    self.format = format
  }

  /// The value of the Content-Type header that goes with these bytes.
  public var contentType: String { format.contentType }

  /// Begins a family. Its samples follow, before the next family begins.
  ///
  /// - Parameters:
  ///   - name: the name without the suffix of its type, and ending in the unit if there is one.
  ///   - unit: the base unit; an info has none.
  ///   - help: one sentence for people.
  public mutating func family(name: String, type: MetricType, unit: MetricUnit? = nil, help: String) {
    precondition(name.isMetricIdentifier(colonsAllowed: true), "not a metric name: \(name)")
    precondition(unit.map { name.hasSuffix("_" + $0.rawValue) } ?? true, "\(name) doesn't end in its unit")
    precondition(type != .info || unit == nil, "an info such as \(name) has no unit")
    let suffix = type.sampleSuffix
    precondition(suffix.isEmpty || !name.hasSuffix(suffix), "\(name) gets its suffix from its type")
    for suffix in type.sampleSuffixes {
      precondition(sampleNames.insert(name + suffix).inserted, "\(name)\(suffix) is exposed twice")
    }
    seriesLabels.removeAll(keepingCapacity: true)
    family = Family(name: Array(name.utf8), sampleName: Array((name + suffix).utf8), type: type)

    switch format {
    case .text:
      // The text format knows neither infos nor units, and takes a counter's name with its suffix.
      appendMetadata("HELP", name: name + suffix)
      bytes.append(escaping: help, quotes: false)
      bytes.append(UInt8(ascii: "\n"))
      appendMetadata("TYPE", name: name + suffix)
      bytes.append(contentsOf: (type == .info ? "gauge" : type.keyword).utf8)
      bytes.append(UInt8(ascii: "\n"))
    case .openMetrics:
      appendMetadata("TYPE", name: name)
      bytes.append(contentsOf: type.keyword.utf8)
      bytes.append(UInt8(ascii: "\n"))
      if let unit {
        appendMetadata("UNIT", name: name)
        bytes.append(contentsOf: unit.rawValue.utf8)
        bytes.append(UInt8(ascii: "\n"))
      }
      appendMetadata("HELP", name: name)
      bytes.append(escaping: help, quotes: true)
      bytes.append(UInt8(ascii: "\n"))
    }
  }

  /// One sample of a counter or a gauge, printed exactly.
  public mutating func sample(labels: Labels = [:], value: UInt64) {
    beginSample(labels)
    bytes.append(decimal: value)
    bytes.append(UInt8(ascii: "\n"))
  }

  /// One sample of a counter or a gauge, printed exactly.
  public mutating func sample(labels: Labels = [:], value: Int) {
    let type = beginSample(labels)
    precondition(type == .gauge || value >= 0, "a counter is never negative")
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    bytes.append(decimal: UInt64(value.magnitude))
    bytes.append(UInt8(ascii: "\n"))
  }

  /// One sample of a counter or a gauge, printed with as many digits as bring back the same `Double`.
  public mutating func sample(labels: Labels = [:], value: Double) {
    let type = beginSample(labels)
    // `>=` is false for NaN as well, which OpenMetrics forbids in counters too.
    precondition(type == .gauge || value >= 0, "a counter is a number and never negative")
    bytes.append(double: value)
    bytes.append(UInt8(ascii: "\n"))
  }

  /// One sample in seconds, from nanoseconds, printed exactly.
  public mutating func sample(labels: Labels = [:], nanoseconds: UInt64) {
    beginSample(labels)
    bytes.append(seconds: nanoseconds)
    bytes.append(UInt8(ascii: "\n"))
  }

  /// One series of an info: its labels are the message.
  public mutating func info(labels: Labels) {
    guard let family, family.type == .info else { preconditionFailure("the present family is no info") }
    beginSeries(labels)
    append(name: family.sampleName, labels: labels)
    bytes.append(contentsOf: "1\n".utf8)
  }

  /// One series of a histogram, in seconds.
  ///
  /// - Parameters:
  ///   - cells: cells of the data path, normally the sum over all workers (`MetricBlock.sum`).
  ///   - firstCell: where the histogram begins in them.
  public mutating func histogram(
    labels: Labels = [:], layout: HistogramLayout, cells: [UInt64], at firstCell: Int
  ) {
    guard let family, family.type == .histogram else { preconditionFailure("the present family is no histogram") }
    precondition(firstCell >= 0 && firstCell + layout.cellCount <= cells.count, "the histogram lies outside its cells")
    beginSeries(labels)

    // Cells count their own bucket alone; on the wire each bucket includes those below it.
    var cumulative: UInt64 = 0
    for index in 0...layout.boundCount {
      cumulative &+= cells[firstCell + index]
      bytes.append(contentsOf: family.name)
      bytes.append(contentsOf: "_bucket{".utf8)
      bytes.append(contentsOf: labels.rendered)
      bytes.append(contentsOf: (labels.rendered.isEmpty ? "le=\"" : ",le=\"").utf8)
      if index < layout.boundCount {
        bytes.append(canonicalSeconds: layout[bound: index])
      } else {
        bytes.append(contentsOf: "+Inf".utf8)
      }
      bytes.append(contentsOf: "\"} ".utf8)
      bytes.append(decimal: cumulative)
      bytes.append(UInt8(ascii: "\n"))
    }

    append(name: family.name, suffix: "_sum", labels: labels)
    bytes.append(seconds: cells[firstCell + layout.sumOffset])
    bytes.append(UInt8(ascii: "\n"))
    append(name: family.name, suffix: "_count", labels: labels)
    bytes.append(decimal: cumulative)
    bytes.append(UInt8(ascii: "\n"))
  }

  /// The whole body.
  public consuming func finish() -> [UInt8] {
    if format == .openMetrics {
      // Without its last line a scrape counts as cut off.
      bytes.append(contentsOf: "# EOF\n".utf8)
    }
    return bytes
  }
}

extension Exposition {
  private struct Family {
    let name: [UInt8]
    let sampleName: [UInt8]
    let type: MetricType
  }

  private mutating func appendMetadata(_ keyword: String, name: String) {
    bytes.append(contentsOf: "# ".utf8)
    bytes.append(contentsOf: keyword.utf8)
    bytes.append(UInt8(ascii: " "))
    bytes.append(contentsOf: name.utf8)
    bytes.append(UInt8(ascii: " "))
  }

  /// Appends everything of a counter's or a gauge's sample up to its value.
  @discardableResult
  private mutating func beginSample(_ labels: Labels) -> MetricType {
    guard let family, family.type == .counter || family.type == .gauge else {
      preconditionFailure("the present family has no plain samples")
    }
    beginSeries(labels)
    append(name: family.sampleName, labels: labels)
    return family.type
  }

  private mutating func beginSeries(_ labels: Labels) {
    precondition(seriesLabels.insert(labels).inserted, "a series is exposed twice")
  }

  private mutating func append(name: [UInt8], suffix: String = "", labels: Labels) {
    bytes.append(contentsOf: name)
    bytes.append(contentsOf: suffix.utf8)
    if !labels.rendered.isEmpty {
      bytes.append(UInt8(ascii: "{"))
      bytes.append(contentsOf: labels.rendered)
      bytes.append(UInt8(ascii: "}"))
    }
    bytes.append(UInt8(ascii: " "))
  }
}

extension MetricType {
  /// The word after `# TYPE`.
  fileprivate var keyword: String {
    switch self {
    case .counter: "counter"
    case .gauge: "gauge"
    case .histogram: "histogram"
    case .info: "info"
    }
  }
}
