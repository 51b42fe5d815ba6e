// How numbers and free text become bytes in an exposition. They are written straight into the output, for a scrape may
// have many thousands of them and a string for each would be most of its cost.

extension [UInt8] {
  /// Appends an integer with all its digits.
  mutating func append(decimal value: UInt64) {
    withDecimalDigits(of: value) { append(contentsOf: $0) }
  }

  /// Appends the shortest digits that read back as the same value; not-a-number and infinities as both formats spell
  /// them.
  mutating func append(double value: Double) {
    if value.isNaN {
      append(contentsOf: "NaN".utf8)
    } else if value.isInfinite {
      append(contentsOf: (value < 0 ? "-Inf" : "+Inf").utf8)
    } else {
      append(contentsOf: value.description.utf8)
    }
  }

  /// Appends nanoseconds as seconds in plain decimals, exactly: 1,500,000,000 as `1.5`.
  mutating func append(seconds nanoseconds: UInt64) {
    let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    append(decimal: whole)
    guard rest > 0 else { return }
    append(UInt8(ascii: "."))
    // The leading 1 keeps the zeros that follow the decimal point.
    withDecimalDigits(of: 1_000_000_000 + rest) { digits in
      append(contentsOf: withoutTrailingZeros(digits)[1...])
    }
  }

  /// Appends nanoseconds, above zero, as seconds in the canonical form for `le`: 50,000 as `5e-05`, 10⁹ as `1.0`.
  ///
  /// A label value is compared as text, so everyone has to print the same bound alike. The form is that of Go's `%g`
  /// with `.0` where neither point nor exponent would show that it is a float (OpenMetrics 1.0, "Canonical Numbers").
  mutating func append(canonicalSeconds nanoseconds: UInt64) {
    withDecimalDigits(of: nanoseconds) { digits in
      let significant = withoutTrailingZeros(digits)
      // The power of ten that the first digit stands for: 0 for seconds below ten.
      let exponent = digits.count - 1 - 9
      if exponent < -4 || exponent >= 6 {
        append(significant[0])
        if significant.count > 1 {
          append(UInt8(ascii: "."))
          append(contentsOf: significant[1...])
        }
        append(contentsOf: (exponent < 0 ? "e-" : "e+").utf8)
        if exponent.magnitude < 10 { append(UInt8(ascii: "0")) }
        append(decimal: UInt64(exponent.magnitude))
      } else if exponent < 0 {
        append(contentsOf: "0.".utf8)
        append(contentsOf: repeatElement(UInt8(ascii: "0"), count: -exponent - 1))
        append(contentsOf: significant)
      } else {
        append(contentsOf: digits[...exponent])
        append(UInt8(ascii: "."))
        let fraction = significant.dropFirst(exponent + 1)
        if fraction.isEmpty {
          append(UInt8(ascii: "0"))
        } else {
          append(contentsOf: fraction)
        }
      }
    }
  }

  /// Appends free text, with line feeds and backslashes escaped, and double quotes too where the place calls for it: in
  /// label values always, in help only in OpenMetrics.
  mutating func append(escaping text: String, quotes: Bool) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\\"): append(contentsOf: "\\\\".utf8)
      case UInt8(ascii: "\n"): append(contentsOf: "\\n".utf8)
      case UInt8(ascii: "\"") where quotes: append(contentsOf: "\\\"".utf8)
      default: append(byte)
      }
    }
  }
}

/// Lends the decimal digits of a number, at least one and 20 at most, from the stack.
private func withDecimalDigits(of value: UInt64, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
  withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
    var start = digits.count
    var rest = value
    repeat {
      start -= 1
      digits.initializeElement(at: start, to: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    body(UnsafeBufferPointer(rebasing: digits[start...]))
  }
}

private func withoutTrailingZeros(_ digits: UnsafeBufferPointer<UInt8>) -> Slice<UnsafeBufferPointer<UInt8>> {
  digits[..<((digits.lastIndex { $0 != UInt8(ascii: "0") } ?? -1) + 1)]
}
