// Reads the Prometheus text format back, so that tests can hold what a scrape says against what they did.

package struct MetricsText: Sendable {
  package struct Sample: Sendable {
    package var name: String
    package var labels: [String: String]
    package var value: Double
  }

  package let samples: [Sample]
  /// The type of each family.
  package let types: [String: String]

  /// - Throws: `HarnessError` for a line that is neither a comment nor a sample.
  package init(parsing text: String) throws {
    var samples: [Sample] = []
    var types: [String: String] = [:]
    for line in text.split(separator: "\n") {
      if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ")
        guard words.count == 4 else { throw HarnessError("metrics: \(line)") }
        types[String(words[2])] = String(words[3])
      } else if !line.hasPrefix("#") {
        samples.append(try Self.sample(line))
      }
    }
    self.samples = samples
    self.types = types
  }

  /// The sum of all series of a name that have these labels.
  package func sum(_ name: String, _ labels: [String: String] = [:]) -> Int {
    Int(series(name, labels).reduce(0) { $0 + $1.value })
  }

  /// Whether a name has a series with these labels.
  package func has(_ name: String, _ labels: [String: String] = [:]) -> Bool { !series(name, labels).isEmpty }

  package func series(_ name: String, _ labels: [String: String] = [:]) -> [Sample] {
    samples.filter { sample in
      sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
    }
  }

  private static func sample(_ line: Substring) throws -> Sample {
    let name = line.prefix { $0 != "{" && $0 != " " }
    var rest = line[name.endIndex...]
    var labels: [String: String] = [:]
    if rest.first == "{" {
      rest = rest.dropFirst()
      while rest.first != "}" {
        let label = rest.prefix { $0 != "=" }
        rest = rest[label.endIndex...].dropFirst()
        guard rest.first == "\"" else { throw HarnessError("metrics: \(line)") }
        rest = rest.dropFirst()
        labels[String(label)] = try quotedText(&rest, in: line)
        if rest.first == "," { rest = rest.dropFirst() }
      }
      rest = rest.dropFirst()
    }
    // A timestamp or an exemplar may follow the value.
    guard let word = rest.split(separator: " ").first, let value = Double(word.replacingInfinity) else {
      throw HarnessError("metrics: \(line)")
    }
    return Sample(name: String(name), labels: labels, value: value)
  }

  /// Takes a label's value and its closing quote.
  private static func quotedText(_ rest: inout Substring, in line: Substring) throws -> String {
    var value = ""
    while let character = rest.popFirst() {
      switch character {
      case "\"": return value
      case "\\": value.append(rest.popFirst().map { $0 == "n" ? "\n" : $0 } ?? "\\")
      default: value.append(character)
      }
    }
    throw HarnessError("metrics: \(line)")
  }
}

extension Substring {
  fileprivate var replacingInfinity: String { self == "+Inf" ? "inf" : self == "-Inf" ? "-inf" : String(self) }
}
