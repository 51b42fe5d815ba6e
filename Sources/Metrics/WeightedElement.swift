// Parses the headers in which an HTTP client lists what it takes, with weights. The negotiation of format and content
// coding stand on it. The bytes come from whoever can reach the metrics port: anything malformed is passed over.

/// One element of an Accept or Accept-Encoding header, such as `text/plain;version=0.0.4;q=0.5`.
struct WeightedElement: Equatable {
  /// The media range or coding, in lower case.
  let name: String
  /// Parameter values by name in lower case, but for the weight.
  let parameters: [String: String]
  /// The weight `q` in thousandths, 0 to 1000; 1000 when it isn't given (RFC 9110 section 12.4.2).
  let weight: Int

  /// The well-formed elements of a comma-separated list (RFC 9110 sections 5.6.1 and 12.5), in order.
  static func list(_ header: String) -> [WeightedElement] {
    split(Array(header.utf8)[...], at: UInt8(ascii: ",")).compactMap(WeightedElement.init)
  }

  private init?(_ bytes: ArraySlice<UInt8>) {
    let parts = Self.split(bytes, at: UInt8(ascii: ";"))
    guard let name = parts.first.flatMap({ Self.token(Self.trimmed($0), slashAllowed: true) }) else { return nil }

    var parameters: [String: String] = [:]
    var weight = 1000
    for part in parts.dropFirst() {
      let part = Self.trimmed(part)
      if part.isEmpty { continue }
      guard let equals = part.firstIndex(of: UInt8(ascii: "=")),
        let parameter = Self.token(part[..<equals], slashAllowed: false),
        let value = Self.value(part[(equals + 1)...])
      else { return nil }
      if parameter == "q" {
        guard let parsed = Self.weight(value) else { return nil }
        weight = parsed
      } else {
        parameters[parameter] = value
      }
    }
    self.name = name
    self.parameters = parameters
    self.weight = weight
  }

  /// Splits at a separator, but not within a quoted string.
  private static func split(_ bytes: ArraySlice<UInt8>, at separator: UInt8) -> [ArraySlice<UInt8>] {
    var parts: [ArraySlice<UInt8>] = []
    var start = bytes.startIndex
    var isQuoted = false
    var isEscaped = false
    for (index, byte) in zip(bytes.indices, bytes) {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\"") {
        isQuoted.toggle()
      } else if isQuoted {
        isEscaped = byte == UInt8(ascii: "\\")
      } else if byte == separator {
        parts.append(bytes[start..<index])
        start = index + 1
      }
    }
    parts.append(bytes[start...])
    return parts
  }

  /// Without optional white space at the ends: spaces and tabs.
  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    let end = bytes.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? bytes.startIndex
    return bytes[..<end].drop(while: isSpace)
  }

  /// A token in lower case (RFC 9110 section 5.6.2), or nil where another character is in it or none at all.
  private static func token(_ bytes: ArraySlice<UInt8>, slashAllowed: Bool) -> String? {
    let isToken = bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
      case UInt8(ascii: "/"): slashAllowed
      default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
    }
    guard isToken, !bytes.isEmpty else { return nil }
    return String(decoding: bytes, as: UTF8.self).lowercased()
  }

  /// A parameter's value in lower case: a token or a quoted string. The values that matter here, versions and character
  /// sets, don't depend on case.
  private static func value(_ bytes: ArraySlice<UInt8>) -> String? {
    guard bytes.first == UInt8(ascii: "\"") else { return token(bytes, slashAllowed: false) }
    var content: [UInt8] = []
    var isEscaped = false
    for (index, byte) in zip(bytes.indices, bytes).dropFirst() {
      if isEscaped {
        content.append(byte)
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        // Nothing may follow the closing quote.
        return index == bytes.endIndex - 1 ? String(decoding: content, as: UTF8.self).lowercased() : nil
      } else {
        content.append(byte)
      }
    }
    return nil
  }

  /// A weight in thousandths: `0` or `1` with up to three decimals, and no more than 1 (RFC 9110 section 12.4.2).
  private static func weight(_ text: String) -> Int? {
    var digits = Array(text.utf8)
    if digits.count > 1 {
      guard digits.count <= 5, digits.remove(at: 1) == UInt8(ascii: ".") else { return nil }
    }
    guard !digits.isEmpty, digits.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains) else { return nil }
    let thousandths = (0..<4).reduce(0) { $0 * 10 + ($1 < digits.count ? Int(digits[$1] - UInt8(ascii: "0")) : 0) }
    return thousandths <= 1000 ? thousandths : nil
  }
}
