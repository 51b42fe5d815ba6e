/// How each kind of scalar is written: parsing, formatting and the words for it. The table of scalars and the listener
/// decoder read values through it; what is wrong with a value is said here, where it was expected is added there.

/// The text of a scalar; `isPlain` is false when it was quoted.
struct ScalarText {
  var text: String
  var isPlain: Bool
}

/// One kind of value.
struct ValueSyntax<Value: Sendable>: Sendable {
  /// What stands for the value in a usage text: `duration`, `path`.
  let valueName: String
  let parse: @Sendable (ScalarText) throws(ValueProblem) -> Value
  /// The text that parses to the value.
  let format: @Sendable (Value) -> String
}

extension ValueSyntax {
  /// One of a few words. Plain and quoted are the same: `off` is a word here, not a boolean.
  static func choice() -> ValueSyntax where Value: RawRepresentable<String> & CaseIterable {
    let words = Value.allCases.map(\.rawValue)
    return ValueSyntax(valueName: words.joined(separator: "|")) { scalar throws(ValueProblem) in
      if let value = Value(rawValue: scalar.text) { return value }
      // Elsewhere in YAML these are what `off` means.
      let isNo = ["no", "false", "none", "disabled", "0"].contains(scalar.text.lowercased())
      let meant = isNo && words.contains("off") ? "off" : suggestion(for: scalar.text, among: words)
      throw ValueProblem("\(quoted(scalar.text)) is unknown", expected: listed(words), suggestion: meant)
    } format: {
      $0.rawValue
    }
  }
}

extension ValueSyntax<Int> {
  static func count(_ range: ClosedRange<Int>) -> ValueSyntax {
    ValueSyntax(valueName: "number") { scalar throws(ValueProblem) in
      let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
      guard !scalar.text.isEmpty, scalar.text.utf8.allSatisfy(\.isDigit) else {
        throw ValueProblem("\(quoted(scalar.text)) is not a number", expected: expected)
      }
      guard scalar.isPlain else {
        throw ValueProblem(
          "\(quoted(scalar.text)) is a text, not a number", expected: expected,
          suggestion: "\(scalar.text) without quotes"
        )
      }
      guard let number = Int(scalar.text), range.contains(number) else {
        throw ValueProblem("\(shortened(scalar.text)) is out of range", expected: expected)
      }
      return number
    } format: {
      String($0)
    }
  }
}

extension ValueSyntax<UInt16> {
  static let port = ValueSyntax(valueName: "port") { scalar throws(ValueProblem) in
    UInt16(try ValueSyntax<Int>.count(1...65535).parse(scalar))
  } format: {
    String($0)
  }
}

extension ValueSyntax<Bool> {
  static let boolean = ValueSyntax(valueName: "true|false") { scalar throws(ValueProblem) in
    switch scalar.text {
    case "true": return true
    case "false": return false
    default:
      let lowercased = scalar.text.lowercased()
      let meant: String? =
        ["yes", "on", "y", "1", "true"].contains(lowercased)
        ? "true" : ["no", "off", "n", "0", "false"].contains(lowercased) ? "false" : nil
      throw ValueProblem("\(quoted(scalar.text)) is unknown", expected: "true or false", suggestion: meant)
    }
  } format: {
    String($0)
  }
}

extension ValueSyntax<Configuration.Workers> {
  static let workers = ValueSyntax(valueName: "auto|number") { scalar throws(ValueProblem) in
    if scalar.text == "auto" { return .auto }
    do throws(ValueProblem) {
      return .count(try ValueSyntax<Int>.count(1...Configuration.Workers.countMax).parse(scalar))
    } catch {
      throw ValueProblem(
        error.problem, expected: "auto or \(error.expected ?? "a number")",
        suggestion: error.suggestion ?? suggestion(for: scalar.text, among: ["auto"]))
    }
  } format: { workers in
    switch workers {
    case .auto: "auto"
    case .count(let count): String(count)
    }
  }
}

extension ValueSyntax<Duration> {
  /// A duration between two bounds, both included.
  static func duration(_ range: ClosedRange<Duration>) -> ValueSyntax {
    ValueSyntax(valueName: "duration") { scalar throws(ValueProblem) in
      let duration = try Duration.parse(scalar.text)
      guard range.contains(duration) else {
        let bounds = "\(range.lowerBound.configurationText) to \(range.upperBound.configurationText)"
        throw ValueProblem("\(shortened(scalar.text)) is out of range", expected: bounds)
      }
      return duration
    } format: {
      $0.configurationText
    }
  }
}

extension ValueSyntax<Duration?> {
  /// A duration of which `0s` means that there is no limit.
  static func durationOrNever(max: Duration) -> ValueSyntax {
    ValueSyntax(valueName: "duration") { scalar throws(ValueProblem) in
      if ["off", "never", "none", "infinite", "0"].contains(scalar.text.lowercased()) {
        throw ValueProblem(
          "\(quoted(scalar.text)) is not a duration", expected: "a duration, or 0s for no limit", suggestion: "0s")
      }
      let duration = try ValueSyntax<Duration>.duration(.zero...max).parse(scalar)
      return duration == .zero ? nil : duration
    } format: {
      $0?.configurationText ?? "0s"
    }
  }
}

extension ValueSyntax<ByteSize?> {
  /// A size of which `0` means that there is no limit.
  static func sizeOrUnlimited(_ range: ClosedRange<ByteSize>) -> ValueSyntax {
    ValueSyntax(valueName: "size") { scalar throws(ValueProblem) in
      if scalar.text == "0" { return nil }
      if ["off", "never", "none", "unlimited", "infinite"].contains(scalar.text.lowercased()) {
        throw ValueProblem(
          "\(quoted(scalar.text)) is not a size", expected: "a size, or 0 for no limit", suggestion: "0")
      }
      let size = try ByteSize.parse(scalar.text)
      guard range.contains(size) else {
        let bounds = "\(range.lowerBound.configurationText) to \(range.upperBound.configurationText)"
        throw ValueProblem("\(shortened(scalar.text)) is out of range", expected: "\(bounds), or 0 for no limit")
      }
      return size
    } format: {
      $0?.configurationText ?? "0"
    }
  }
}

extension ValueSyntax<String> {
  /// An absolute path. A relative one would depend on the directory that the process happens to start in.
  static func path(example: String) -> ValueSyntax {
    ValueSyntax(valueName: "path") { scalar throws(ValueProblem) in
      let expected = "an absolute path such as \(example)"
      guard scalar.text.hasPrefix("/") else {
        let isEmpty = scalar.text.isEmpty
        throw ValueProblem(
          isEmpty ? "the path is empty" : "\(quoted(scalar.text)) is a relative path", expected: expected)
      }
      guard scalar.text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
        throw ValueProblem("\(quoted(scalar.text)) has a control character in it", expected: expected)
      }
      // PATH_MAX of limits.h counts the byte that ends the string.
      guard scalar.text.utf8.count <= 4095 else {
        throw ValueProblem("the path has \(scalar.text.utf8.count) bytes", expected: "at most 4095")
      }
      guard scalar.text.utf8.last != UInt8(ascii: "/") else {
        throw ValueProblem("\(quoted(scalar.text)) is a directory", expected: expected)
      }
      return scalar.text
    } format: {
      $0
    }
  }

  /// An ALPN protocol name. RFC 7301 allows any bytes; visible ASCII is what can be told apart in a log.
  static let alpn = ValueSyntax(valueName: "name") { scalar throws(ValueProblem) in
    guard (1...255).contains(scalar.text.utf8.count), scalar.text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      throw ValueProblem(
        "\(quoted(scalar.text)) is not a protocol name", expected: "1 to 255 visible ASCII characters",
        suggestion: Configuration.Identity.alpnDefault)
    }
    return scalar.text
  } format: {
    $0
  }

  /// The name of a listener: it is a label in metrics and logs.
  static let listenerName = ValueSyntax(valueName: "name") { scalar throws(ValueProblem) in
    guard isListenerName(scalar.text) else {
      let meant = scalar.text.lowercased().replacing(["_"], with: ["-"]).replacing([" "], with: ["-"])
      throw ValueProblem(
        "\(quoted(scalar.text)) is not a name", expected: "1 to 32 characters out of a-z, 0-9 and -",
        suggestion: isListenerName(meant) ? meant : nil)
    }
    return scalar.text
  } format: {
    $0
  }

  private static func isListenerName(_ text: String) -> Bool {
    (1...32).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        byte.isDigit || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || byte == UInt8(ascii: "-")
      }
  }
}
