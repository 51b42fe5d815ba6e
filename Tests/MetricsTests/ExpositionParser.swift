// Reads an exposition back, independently of the code that writes it and strictly: what the formats forbid is an error.
// The tests compare what comes out with what went in.

@testable import Metrics

/// One line of values.
struct ParsedSample: Equatable {
  var name: String
  var labels: [String: String] = [:]
  /// The number as it was printed.
  var value: String
}

struct ParsedFamily: Equatable {
  var name: String
  var type: String?
  var unit: String?
  var help: String?
  var samples: [ParsedSample] = []
}

struct ParseError: Error, CustomStringConvertible {
  var description: String
}

/// Parses a whole body into its families, in order.
func parseExposition(_ bytes: [UInt8], format: ExpositionFormat) throws -> [ParsedFamily] {
  guard let text = String(validating: bytes, as: UTF8.self) else { throw ParseError(description: "not UTF-8") }
  guard text.isEmpty || text.hasSuffix("\n") else { throw ParseError(description: "last line not ended") }
  // Not `split(separator: "\n")` on characters: CR LF is one character to Swift, but only LF ends a line here.
  var lines = text.utf8.split(separator: 10, omittingEmptySubsequences: false).map { String($0)! }
  lines.removeLast()
  if format == .openMetrics {
    guard lines.popLast() == "# EOF" else { throw ParseError(description: "no EOF") }
  }
  var families: [ParsedFamily] = []
  var seenFamilies: Set<String> = []
  for line in lines {
    if line.hasPrefix("#") {
      let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
      guard words.count == 4, words[0] == "#" else { throw ParseError(description: "bad metadata: \(line)") }
      if families.last?.name != words[2] {
        guard seenFamilies.insert(words[2]).inserted else {
          throw ParseError(description: "family \(words[2]) is not contiguous")
        }
        families.append(ParsedFamily(name: words[2]))
      }
      guard families[families.count - 1].samples.isEmpty else {
        throw ParseError(description: "metadata after samples: \(line)")
      }
      switch words[1] {
      case "TYPE": families[families.count - 1].type = words[3]
      case "HELP":
        families[families.count - 1].help = try unescape(words[3], quotes: format == .openMetrics)
      case "UNIT" where format == .openMetrics: families[families.count - 1].unit = words[3]
      default: throw ParseError(description: "unknown metadata: \(line)")
      }
    } else {
      let sample = try parseSample(line)
      guard var family = families.popLast() else { throw ParseError(description: "sample without family: \(line)") }
      guard suffixes(of: family, format: format).contains(where: { family.name + $0 == sample.name }) else {
        throw ParseError(description: "\(sample.name) is not of family \(family.name)")
      }
      family.samples.append(sample)
      families.append(family)
    }
  }
  for family in families {
    let series = Set(family.samples.map { "\($0.name) \($0.labels.sorted { $0.key < $1.key })" })
    guard series.count == family.samples.count else {
      throw ParseError(description: "duplicate series in \(family.name)")
    }
  }
  return families
}

private func suffixes(of family: ParsedFamily, format: ExpositionFormat) -> [String] {
  switch (family.type, format) {
  case ("histogram", _): ["_bucket", "_sum", "_count"]
  case ("counter", .openMetrics): ["_total"]
  case ("info", .openMetrics): ["_info"]
  default: [""]
  }
}

/// `name{label="value",…} number`
private func parseSample(_ line: String) throws -> ParsedSample {
  var rest = Substring(line).unicodeScalars
  func take(while matches: (Unicode.Scalar) -> Bool) -> String {
    let taken = rest.prefix(while: matches)
    rest = rest[taken.endIndex...]
    return String(taken)
  }
  func expect(_ scalar: Unicode.Scalar) throws {
    guard rest.popFirst() == scalar else { throw ParseError(description: "expected \(scalar): \(line)") }
  }
  func isName(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "_": true
    default: false
    }
  }

  var sample = ParsedSample(name: take { isName($0) || $0 == ":" }, value: "")
  if rest.first == "{" {
    try expect("{")
    while true {
      let label = take(while: isName)
      try expect("=")
      try expect("\"")
      var isEscaped = false
      let value = take { scalar in
        defer { isEscaped = !isEscaped && scalar == "\\" }
        return isEscaped || scalar != "\""
      }
      try expect("\"")
      guard !label.isEmpty, sample.labels.updateValue(try unescape(value, quotes: true), forKey: label) == nil else {
        throw ParseError(description: "label name missing or twice: \(line)")
      }
      guard rest.first == "," else { break }
      try expect(",")
    }
    try expect("}")
  }
  try expect(" ")
  sample.value = String(rest)
  guard !sample.name.isEmpty, isNumber(sample.value)
  else { throw ParseError(description: "bad sample: \(line)") }
  return sample
}

/// `+Inf`, `-Inf`, `NaN`, or decimal digits with sign, fraction and exponent where there are some.
private func isNumber(_ text: String) -> Bool {
  if ["+Inf", "-Inf", "NaN"].contains(text) { return true }
  var rest = text.utf8[...]
  func takeDigits() -> Bool {
    let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    rest = rest[digits.endIndex...]
    return !digits.isEmpty
  }
  if rest.first == UInt8(ascii: "-") { rest.removeFirst() }
  guard takeDigits() else { return false }
  if rest.first == UInt8(ascii: ".") {
    rest.removeFirst()
    guard takeDigits() else { return false }
  }
  if rest.first == UInt8(ascii: "e") {
    rest.removeFirst()
    guard let sign = rest.popFirst(), "+-".utf8.contains(sign), takeDigits() else { return false }
  }
  return rest.isEmpty
}

private func unescape(_ text: String, quotes: Bool) throws -> String {
  var result = String.UnicodeScalarView()
  var scalars = text.unicodeScalars.makeIterator()
  while let scalar = scalars.next() {
    guard scalar == "\\" else {
      result.append(scalar)
      continue
    }
    switch scalars.next() {
    case "\\": result.append("\\")
    case "n": result.append("\n")
    case "\"" where quotes: result.append("\"")
    case let other: throw ParseError(description: "bad escape \\\(other.map(String.init) ?? "") in \(text)")
    }
  }
  return String(result)
}
