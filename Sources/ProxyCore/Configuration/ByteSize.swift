/// Sizes as the configuration writes them. The value syntaxes parse with it and the renderer formats with it.

/// A number of bytes in whole KiB: nothing that is configured needs to be told more finely.
public struct ByteSize: Sendable, Hashable, Comparable {
  public var bytes: UInt64

  public static func kibibytes(_ count: UInt64) -> ByteSize { ByteSize(bytes: count << 10) }
  public static func mebibytes(_ count: UInt64) -> ByteSize { ByteSize(bytes: count << 20) }
  public static func gibibytes(_ count: UInt64) -> ByteSize { ByteSize(bytes: count << 30) }

  public static func < (left: ByteSize, right: ByteSize) -> Bool { left.bytes < right.bytes }
}

extension ByteSize {
  /// The units from large to small, with the power of two that each stands for (IEC 80000-13).
  private static let units: [(name: String, shift: UInt64)] = [("GiB", 30), ("MiB", 20), ("KiB", 10)]

  /// The shortest text that parses to this size, in whole KiB: `100MiB`.
  var configurationText: String {
    let unit = Self.units.first { bytes >= 1 << $0.shift && bytes & (1 << $0.shift - 1) == 0 } ?? ("KiB", 10)
    return "\(bytes >> unit.shift)\(unit.name)"
  }

  /// Reads a whole number and a unit: `64KiB`, `100MiB`, `1GiB`.
  static func parse(_ text: String) throws(ValueProblem) -> ByteSize {
    let example = "a size such as 512KiB, 100MiB or 1GiB"
    if !text.isEmpty, text.utf8.allSatisfy(\.isDigit) {
      throw ValueProblem("\(quoted(text)) has no unit", expected: example)
    }
    let digits = text.utf8.prefix(while: \.isDigit)
    let name = Substring(text.utf8[digits.endIndex...])
    guard let count = UInt64(Substring(digits)), let unit = units.first(where: { $0.name == name }) else {
      throw ValueProblem("\(quoted(text)) is not a size", expected: example, suggestion: sizeMeant(by: text))
    }
    // Below 2^34 not even GiB overflow the 64 bits; whatever is above is out of every range.
    guard count < 1 << 34 else { throw ValueProblem("\(quoted(text)) is too large", expected: example) }
    return ByteSize(bytes: count << unit.shift)
  }

  /// What a number with a unit that is spelled otherwise was meant to be: Kubernetes writes `100Mi`, Docker `100m`.
  private static func sizeMeant(by text: String) -> String? {
    let digits = text.utf8.prefix(while: \.isDigit)
    guard let count = UInt32(Substring(digits)) else { return nil }
    let name = Substring(text.utf8[digits.endIndex...]).drop { $0 == " " }.lowercased()
    guard ["", "b", "i", "ib"].contains(name.dropFirst()) else { return nil }
    return units.first { $0.name.lowercased().first == name.first }.map { "\(count)\($0.name)" }
  }
}
