/// The bytes of a configuration file before they are YAML: their encoding is checked here, so that a file saved by the
/// wrong editor gets a better answer than a parser's. `YAMLParser` calls it first and asks it for the lines that a
/// syntax error points at.

/// UTF-8 bytes without a byte order mark and without the control characters that YAML forbids.
struct SourceText {
  /// Far more than any real configuration; it bounds the work that a wrong path can cause (a log, a device).
  static let bytesMax = 1 << 20

  let bytes: [UInt8]

  /// Checks the bytes of a file; the diagnostic says which of them is wrong and where.
  init(_ bytes: [UInt8], path: String) throws(Diagnostic) {
    guard bytes.count <= Self.bytesMax else {
      throw Diagnostic(
        .error, at: .wholeFile(path: path),
        "the file is larger than \(Self.bytesMax / 1024) KiB; expected a configuration: is the path right?")
    }
    guard !bytes.starts(with: [0xff, 0xfe]), !bytes.starts(with: [0xfe, 0xff]) else {
      throw Diagnostic(.error, at: .wholeFile(path: path), "the file is UTF-16; expected UTF-8: save it as that")
    }
    let text = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes.dropFirst(3)) : bytes
    try Self.check(text, path: path)
    self.bytes = text
  }

  /// The line (from 1) as text, without its line break; nil when there is no such line. At most 200 bytes of it.
  func line(_ number: Int) -> String? {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: number, omittingEmptySubsequences: false)
    guard number >= 1, number <= lines.count else { return nil }
    return String(decoding: lines[number - 1].prefix(200), as: UTF8.self)
  }

  /// Whether a line begins as those do that git leaves around a conflict.
  var holdsMergeConflict: Bool {
    bytes.split(separator: UInt8(ascii: "\n")).contains { $0.starts(with: "<<<<<<< ".utf8) }
  }

  private static func check(_ bytes: [UInt8], path: String) throws(Diagnostic) {
    var parser = UTF8.ForwardParser()
    var iterator = bytes.makeIterator()
    var (line, column) = (1, 1)
    scalars: while true {
      let problem: String
      switch parser.parseScalar(from: &iterator) {
      case .emptyInput:
        return
      case .valid(let encoded):
        let scalar = UTF8.decode(encoded)
        if scalar == "\n" {
          line += 1
          column = 1
          continue scalars
        }
        if scalar.isAllowedInYAML {
          column += 1
          continue scalars
        }
        problem = "the character \(scalar.codePoint) is not allowed in YAML; remove it"
      case .error:
        problem = "the file is not valid UTF-8; expected UTF-8: save it as that"
      }
      throw Diagnostic(.error, at: .file(path: path, line: line, column: column), problem)
    }
  }
}

extension Unicode.Scalar {
  /// The printable characters of YAML 1.1 section 5.1, as libyaml's reader has them.
  fileprivate var isAllowedInYAML: Bool {
    switch value {
    case 0x09, 0x0a, 0x0d, 0x20...0x7e, 0x85, 0xa0...0xd7ff, 0xe000...0xfefe, 0xff00...0xfffd, 0x1_0000...0x10_ffff:
      true
    default:
      false
    }
  }

  /// `U+0007`.
  fileprivate var codePoint: String {
    let digits = String(value, radix: 16, uppercase: true)
    return "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }

  /// The character, or an escape where it would do something to a terminal or end a quoted text. The escapes are
  /// those of YAML's double-quoted scalars.
  func escaped(asASCII: Bool) -> String {
    switch self {
    case "\"": return "\\\""
    case "\\": return "\\\\"
    case "\n": return "\\n"
    case "\t": return "\\t"
    case "\r": return "\\r"
    default: break
    }
    let isControl = value < 0x20 || (0x7f...0x9f).contains(value)
    let isInvisible = [0x2028, 0x2029, 0xfeff].contains(value) || (0x202a...0x202e).contains(value)
    guard isControl || isInvisible || (asASCII && value > 0x7e) else { return String(self) }
    let digits = String(value, radix: 16)
    let width = value <= 0xff ? 2 : value <= 0xffff ? 4 : 8
    let letter = value <= 0xff ? "x" : value <= 0xffff ? "u" : "U"
    return "\\\(letter)" + String(repeating: "0", count: width - digits.count) + digits
  }
}
