// JSON (RFC 8259) written straight into bytes: for the logs, the admin endpoints and nothing else. It writes what it
// is told to in the order it is told, and puts in the commas and the escapes.

/// Builds one JSON text after another into the same memory.
public struct JSONWriter: Sendable {
  /// What was written so far.
  public private(set) var bytes: [UInt8] = []
  /// Whether the next value in the present object or array needs a comma before it.
  private var needsComma = false

  public init() {}

  /// Forgets what was written and keeps the memory.
  public mutating func reset() {
    bytes.removeAll(keepingCapacity: true)
    needsComma = false
  }

  /// Ends a line of a log that holds one JSON text per line; the next text begins.
  public mutating func endLine() {
    bytes.append(UInt8(ascii: "\n"))
    needsComma = false
  }

  public mutating func object(_ body: (inout JSONWriter) -> Void) { nest(UInt8(ascii: "{"), UInt8(ascii: "}"), body) }

  public mutating func array(_ body: (inout JSONWriter) -> Void) { nest(UInt8(ascii: "["), UInt8(ascii: "]"), body) }

  /// The name of the member whose value is written next.
  public mutating func key(_ name: String) {
    separate()
    bytes.appendJSON(string: name)
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  public mutating func value(_ string: String) {
    separate()
    bytes.appendJSON(string: string)
  }

  /// Null where there is no string.
  public mutating func value(_ string: String?) {
    if let string { value(string) } else { null() }
  }

  public mutating func value(_ integer: some FixedWidthInteger) {
    separate()
    bytes.append(contentsOf: "\(integer)".utf8)
  }

  public mutating func value(_ truth: Bool) {
    separate()
    bytes.append(contentsOf: (truth ? "true" : "false").utf8)
  }

  public mutating func null() {
    separate()
    bytes.append(contentsOf: "null".utf8)
  }

  /// A time in UTC as a string of RFC 3339.
  public mutating func value(wallNanoseconds: UInt64) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    bytes.append(rfc3339: wallNanoseconds)
    bytes.append(UInt8(ascii: "\""))
  }

  /// A span in milliseconds with three decimals, so that microseconds are kept; null where there is none.
  public mutating func value(millisecondsOf nanoseconds: UInt64?) {
    guard let nanoseconds else { return null() }
    separate()
    bytes.append(millisecondsOf: nanoseconds)
  }

  public mutating func member(_ name: String, _ string: String) {
    key(name)
    value(string)
  }

  public mutating func member(_ name: String, _ integer: some FixedWidthInteger) {
    key(name)
    value(integer)
  }

  public mutating func member(_ name: String, _ truth: Bool) {
    key(name)
    value(truth)
  }

  private mutating func nest(_ open: UInt8, _ close: UInt8, _ body: (inout JSONWriter) -> Void) {
    separate()
    bytes.append(open)
    needsComma = false
    body(&self)
    bytes.append(close)
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
    needsComma = true
  }
}

extension [UInt8] {
  /// Appends a string in quotes, with RFC 8259 section 7's escapes. DEL and the C1 controls are escaped as well,
  /// because a terminal that shows the log obeys some of them.
  mutating func appendJSON(string: String) {
    append(UInt8(ascii: "\""))
    for scalar in string.unicodeScalars {
      switch scalar.value {
      case 0x22: append(contentsOf: "\\\"".utf8)
      case 0x5c: append(contentsOf: "\\\\".utf8)
      case 0x0a: append(contentsOf: "\\n".utf8)
      case 0x0d: append(contentsOf: "\\r".utf8)
      case 0x09: append(contentsOf: "\\t".utf8)
      case 0..<0x20, 0x7f..<0xa0: appendUnicodeEscape(scalar.value)
      default: append(contentsOf: UTF8.encode(scalar)!)
      }
    }
    append(UInt8(ascii: "\""))
  }

  /// Appends text with control characters escaped, so that a line stays one line and a terminal stays unharmed.
  mutating func appendPrintable(_ string: String) {
    for scalar in string.unicodeScalars {
      switch scalar.value {
      case 0x0a: append(contentsOf: "\\n".utf8)
      case 0x0d: append(contentsOf: "\\r".utf8)
      case 0x09: append(contentsOf: "\\t".utf8)
      case 0..<0x20, 0x7f..<0xa0: appendUnicodeEscape(scalar.value)
      default: append(contentsOf: UTF8.encode(scalar)!)
      }
    }
  }

  mutating func append(millisecondsOf nanoseconds: UInt64) {
    let microseconds = nanoseconds / 1_000
    append(contentsOf: "\(microseconds / 1_000)".utf8)
    append(UInt8(ascii: "."))
    let fraction = microseconds % 1_000
    append(UInt8(ascii: "0") + UInt8(fraction / 100))
    append(UInt8(ascii: "0") + UInt8(fraction / 10 % 10))
    append(UInt8(ascii: "0") + UInt8(fraction % 10))
  }

  private mutating func appendUnicodeEscape(_ value: UInt32) {
    append(contentsOf: "\\u".utf8)
    for shift in [12, 8, 4, 0] as [UInt32] {
      let digit = UInt8(truncatingIfNeeded: value >> shift & 0xf)
      append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }
}
