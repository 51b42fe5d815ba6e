/// Durations as the configuration writes them. The value syntaxes parse with it, the renderer formats with it, and the
/// workers and the drain ask it for nanoseconds, in which they count.

extension Duration {
  /// The length in nanoseconds: 0 for a negative duration, `UInt64.max` for one beyond 584 years.
  public var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (whole, hasOverflowed) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, hasOverflowedAgain) = whole.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
    return hasOverflowed || hasOverflowedAgain ? .max : sum
  }

  /// The units from large to small, with their length in milliseconds.
  private static let units: [(name: String, milliseconds: UInt64)] = [
    ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1),
  ]

  /// The shortest text that parses to this duration, in whole milliseconds: `1h30m`, `250ms`, `0s`.
  var configurationText: String {
    var rest = nanoseconds / 1_000_000
    var text = ""
    for unit in Self.units where rest >= unit.milliseconds {
      text += "\(rest / unit.milliseconds)\(unit.name)"
      rest %= unit.milliseconds
    }
    return text.isEmpty ? "0s" : text
  }

  /// A duration as the configuration writes it, such as `1m30s`; nil for any other text.
  public init?(configurationText text: String) {
    guard let duration = try? Duration.parse(text) else { return nil }
    self = duration
  }

  /// Reads whole numbers with units, each unit once, the larger first: `5s`, `1m30s`, `250ms`, `0s`.
  static func parse(_ text: String) throws(ValueProblem) -> Duration {
    let example = "a duration such as 250ms, 5s, 1m30s or 1h"
    if !text.isEmpty, text.utf8.allSatisfy(\.isDigit) {
      throw ValueProblem("\(quoted(text)) has no unit", expected: example, suggestion: "\(text)s")
    }
    var rest = Substring(text).utf8
    var remainingUnits = units[...]
    var total: UInt64 = 0
    repeat {
      let digits = rest.prefix(while: \.isDigit)
      let name = rest[digits.endIndex...].prefix { !$0.isDigit }
      guard let count = UInt64(Substring(digits)),
        let index = remainingUnits.firstIndex(where: { $0.name == String(Substring(name)) })
      else {
        throw ValueProblem("\(quoted(text)) is not a duration", expected: example, suggestion: durationMeant(by: text))
      }
      let (part, hasOverflowed) = count.multipliedReportingOverflow(by: remainingUnits[index].milliseconds)
      // 2^53 ms are 285,000 years; whatever is above overflows nothing here and is out of every range.
      guard !hasOverflowed, part < 1 << 53 else { throw ValueProblem("\(quoted(text)) is too long", expected: example) }
      total += part
      remainingUnits = remainingUnits[(index + 1)...]
      rest = rest[name.endIndex...]
    } while !rest.isEmpty
    return .milliseconds(Int64(total))
  }

  /// What a number with a unit that is spelled otherwise was meant to be: `5 sec` is `5s`, `1d` is `24h`.
  private static func durationMeant(by text: String) -> String? {
    let digits = text.utf8.prefix(while: \.isDigit)
    guard let count = Int(Substring(digits)), count < 1_000_000 else { return nil }
    let name = Substring(text.utf8[digits.endIndex...]).drop { $0 == " " }.lowercased()
    switch name {
    case "d", "day", "days": return "\(count * 24)h"
    case "h", "hr", "hour", "hours": return "\(count)h"
    case "m", "min", "mins", "minute", "minutes": return "\(count)m"
    case "s", "sec", "secs", "second", "seconds": return "\(count)s"
    case "ms", "msec", "millis", "milliseconds": return "\(count)ms"
    default: return nil
    }
  }
}

extension UInt8 {
  /// 0–9 in ASCII.
  var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
}
