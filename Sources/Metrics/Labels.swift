// The labels of a time series, rendered once and appended as bytes to every sample that carries them. Callers make them
// at set-up (a listener's name and direction don't change) and derive those of single samples from them.

/// A set of label names and values, in the form in which both exposition formats print it.
///
/// Names follow `[a-zA-Z_][a-zA-Z0-9_]*`, don't begin with `__` and are not `le` (Prometheus and the histograms here
/// claim those); a name occurs once. Names come from our own source, so a bad one traps. Values may be anything.
public struct Labels: Sendable, Hashable, ExpressibleByDictionaryLiteral {
  /// Sorted by name, so that equal sets have equal bytes.
  private let pairs: [(name: String, value: String)]

  /// `name="value",…` without the braces: a histogram adds its `le`.
  let rendered: [UInt8]

  public init(_ pairs: [(name: String, value: String)]) {
    let sorted = pairs.sorted { $0.name < $1.name }
    var rendered: [UInt8] = []
    for (index, pair) in sorted.enumerated() {
      precondition(Self.isLegal(name: pair.name), "not a label name: \(pair.name)")
      precondition(index == 0 || sorted[index - 1].name != pair.name, "label \(pair.name) is given twice")
      if index > 0 { rendered.append(UInt8(ascii: ",")) }
      rendered.append(contentsOf: pair.name.utf8)
      rendered.append(contentsOf: "=\"".utf8)
      rendered.append(escaping: pair.value, quotes: true)
      rendered.append(UInt8(ascii: "\""))
    }
    self.pairs = sorted
    self.rendered = rendered
  }

  public init(dictionaryLiteral elements: (String, String)...) {
    self.init(elements.map { (name: $0.0, value: $0.1) })
  }

  /// These labels and one more.
  public func adding(_ name: String, _ value: String) -> Labels {
    Labels(pairs + [(name: name, value: value)])
  }

  public static func == (left: Labels, right: Labels) -> Bool {
    left.rendered == right.rendered
  }

  public func hash(into hasher: inout Hasher) {
    // All bytes at once: an array would feed them to the hasher one by one.
    rendered.withUnsafeBytes { hasher.combine(bytes: $0) }
  }

  private static func isLegal(name: String) -> Bool {
    !name.hasPrefix("__") && name != "le" && name.isMetricIdentifier(colonsAllowed: false)
  }
}
