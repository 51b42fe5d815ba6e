/// The syntax of the principal patterns in `allow` and `mesh`. The decoder checks each pattern with it, so that the
/// policy can trust the strings that it is given.

/// A SPIFFE ID (SPIFFE-ID section 2) in which a path segment may be `*`, any one segment, and the last may be `**`, one
/// or more segments: `spiffe://cluster.local/ns/web/sa/*`, `spiffe://cluster.local/ns/web/**`.
enum PrincipalPattern {
  /// SPIFFE-ID section 2.4: an ID has at most 2,048 bytes.
  static let bytesMax = 2048

  private static let scheme = "spiffe://"

  static let syntax = ValueSyntax<String>(valueName: "pattern") { scalar throws(ValueProblem) in
    try check(scalar.text)
    return scalar.text
  } format: {
    $0
  }

  private static func check(_ text: String) throws(ValueProblem) {
    let expected = "a SPIFFE ID such as spiffe://cluster.local/ns/web/sa/*"
    guard text.hasPrefix(scheme) else {
      throw ValueProblem(
        "\(quoted(text)) is not a SPIFFE ID", expected: expected, suggestion: suggestionForScheme(text))
    }
    guard text.utf8.count <= bytesMax else {
      throw ValueProblem("the pattern has \(text.utf8.count) bytes", expected: "at most \(bytesMax)")
    }
    let parts = text.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: false)
    guard let domain = parts.first, isTrustDomain(domain) else {
      throw ValueProblem(
        "\(quoted(parts.first ?? "")) is not a trust domain", expected: "a-z, 0-9, \".\", \"-\" and \"_\", no wildcard")
    }
    guard parts.count > 1 else {
      throw ValueProblem(
        "\(quoted(text)) has no path, and no workload is named so", expected: expected, suggestion: "\(text)/**")
    }
    for (index, segment) in parts.enumerated().dropFirst() {
      try check(segment: segment, isLast: index == parts.count - 1, of: text)
    }
  }

  private static func check(segment: Substring, isLast: Bool, of text: String) throws(ValueProblem) {
    switch segment {
    case "*":
      return
    case "**":
      guard isLast else {
        throw ValueProblem("\(quoted(text)) has ** before its end", expected: "** only as the last segment")
      }
    case "":
      throw ValueProblem(
        "\(quoted(text)) has an empty path segment", expected: "segments with one / between them",
        suggestion: isLast ? String(text.dropLast()) : nil)
    case ".", "..":
      throw ValueProblem("\(quoted(text)) has a \(segment) segment", expected: "a path without . and ..")
    default:
      guard !segment.contains("*") else {
        throw ValueProblem(
          "\(quoted(text)) has * inside a path segment", expected: "* as a whole segment, or ** as the last one")
      }
      guard segment.utf8.allSatisfy(SPIFFEID.isPathByte) else {
        throw ValueProblem(
          "\(quoted(segment)) is not a path segment of a SPIFFE ID",
          expected: "letters, digits, \".\", \"-\" and \"_\"")
      }
    }
  }

  private static func suggestionForScheme(_ text: String) -> String? {
    guard !text.contains("://") else { return nil }
    let rest = text.hasPrefix("spiffe:") ? text.dropFirst("spiffe:".count).drop { $0 == "/" } : Substring(text)
    guard rest.contains("/"), rest.first != "/", rest.utf8.count <= 100 else { return nil }
    return scheme + rest
  }

  /// SPIFFE-ID section 2.1: lower case, at most 255 bytes.
  private static func isTrustDomain(_ text: Substring) -> Bool {
    (1...255).contains(text.utf8.count) && text.utf8.allSatisfy(SPIFFEID.isTrustDomainByte)
  }
}
