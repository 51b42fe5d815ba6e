// The two formats of a scrape and the choice between them by the request's headers. The admin endpoint asks here before
// it renders.

/// A format that Prometheus reads.
public enum ExpositionFormat: Sendable, CaseIterable {
  /// Prometheus text format 0.0.4.
  case text
  /// OpenMetrics 1.0.0.
  case openMetrics

  /// The value of the Content-Type header.
  public var contentType: String {
    switch self {
    case .text: "text/plain; version=0.0.4; charset=utf-8"
    case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }
  }

  /// Chooses by the Accept header (RFC 9110 section 12.5.1): OpenMetrics for who prefers it, text for everyone else.
  ///
  /// Where both weigh the same, OpenMetrics is chosen only if the client names it and takes text by a wildcard alone.
  /// Text is also the answer when the header is absent, makes no sense or accepts neither: a scrape in the lesser format
  /// is worth more than 406 (Not Acceptable).
  public static func negotiate(accept: String?) -> ExpositionFormat {
    let ranges = WeightedElement.list(accept ?? "")
    guard let openMetrics = ExpositionFormat.openMetrics.preference(in: ranges), openMetrics.weight > 0 else {
      return .text
    }
    guard let text = ExpositionFormat.text.preference(in: ranges) else { return .openMetrics }
    if openMetrics.weight != text.weight {
      return openMetrics.weight > text.weight ? .openMetrics : .text
    }
    return openMetrics.isNamed && !text.isNamed ? .openMetrics : .text
  }
}

extension ExpositionFormat {
  /// What a client thinks of a format: the weight of the most specific media range that covers it.
  private struct Preference {
    var specificity: Int
    var weight: Int

    /// Whether the range says more than `*/*` or `type/*`.
    var isNamed: Bool { specificity >= 2 }
  }

  private func preference(in ranges: [WeightedElement]) -> Preference? {
    ranges.compactMap { range in
      specificity(of: range).map { Preference(specificity: $0, weight: range.weight) }
    }.max { ($0.specificity, $0.weight) < ($1.specificity, $1.weight) }
  }

  /// How closely a media range describes this format, or nil where it describes something else.
  ///
  /// The version has to be ours: OpenMetrics 0.0.1, which Prometheus offers beside 1.0.0, is not. Parameters other than
  /// version and charset count as met; Prometheus 3 sends `escaping`, and our names need none.
  private func specificity(of range: WeightedElement) -> Int? {
    let (type, subtype, version) =
      switch self {
      case .text: ("text", "plain", "0.0.4")
      case .openMetrics: ("application", "openmetrics-text", "1.0.0")
      }
    let required = ["version": version, "charset": "utf-8"]
    let demanded = range.parameters.filter { required[$0.key] != nil }
    guard demanded.allSatisfy({ required[$0.key] == $0.value }) else { return nil }
    switch range.name {
    case "*/*": return 0
    case "\(type)/*": return 1
    case "\(type)/\(subtype)": return 2 + demanded.count
    default: return nil
    }
  }
}

/// The choice of a content coding for a response.
public enum ContentCoding {
  /// Whether to send gzip, by the Accept-Encoding header (RFC 9110 section 12.5.3): the client takes it, by name or
  /// wildcard, and doesn't like the plain bytes (`identity`) better. A client that sends no such header gets them plain.
  public static func acceptsGzip(acceptEncoding: String?) -> Bool {
    let codings = WeightedElement.list(acceptEncoding ?? "")
    func weight(_ names: Set<String>) -> Int? { codings.first { names.contains($0.name) }?.weight }
    let others = weight(["*"])
    // x-gzip is the same coding by its old name (RFC 9110 section 8.4.1.3).
    guard let gzip = weight(["gzip", "x-gzip"]) ?? others, gzip > 0 else { return false }
    return gzip >= weight(["identity"]) ?? others ?? 0
  }
}
