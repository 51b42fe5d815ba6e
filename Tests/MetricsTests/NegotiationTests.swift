// Goal: a client gets the format and the coding that it asked for, and whatever it sends does no harm.
// Method: tables of real headers (Prometheus 2 and 3, curl, browsers), of edge cases of RFC 9110, and of seeded garbage.

import Testing

@testable import Metrics

@Suite struct NegotiationTests {
  static let accepts: [(String?, ExpositionFormat)] = [
    // Prometheus 3.
    (
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
        + "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
        + "text/plain;version=0.0.4;q=0.2,*/*;q=0.1", .openMetrics
    ),
    // Prometheus 2, newer and older.
    (
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", .openMetrics
    ),
    ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", .text),
    // Prometheus set to text first.
    ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.1", .text),
    // No wish, curl, a browser.
    (nil, .text), ("", .text), ("*/*", .text),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", .text),
    // By name alone, by type alone, in other case, quoted, with spaces and empty elements.
    ("application/openmetrics-text", .openMetrics), ("application/*", .openMetrics), ("text/*", .text),
    ("APPLICATION/OpenMetrics-Text; Version=1.0.0; Charset=UTF-8", .openMetrics),
    (#"application/openmetrics-text;version="1.0.0""#, .openMetrics),
    (#"application/openmetrics-text;version="1\.0.0";x=",;\"""#, .openMetrics),
    (" , ,\tapplication/openmetrics-text ;\tversion=1.0.0 ; q=0.5 , text/plain ; q=0.4 ,", .openMetrics),
    // Versions and character sets that we don't speak.
    ("application/openmetrics-text;version=0.0.1", .text), ("application/openmetrics-text;version=2.0.0", .text),
    ("application/openmetrics-text;charset=iso-8859-1", .text),
    ("application/openmetrics-text;q=0.2,text/plain;version=1.0.0;q=0.9", .openMetrics),
    // The most specific range decides, wherever it stands.
    ("application/openmetrics-text;q=0,*/*", .text), ("*/*;q=1,application/openmetrics-text;q=0.5", .text),
    ("text/plain;q=0.1,application/*;q=0.2,*/*;q=0.9", .openMetrics),
    ("application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text;q=1", .text),
    ("text/plain;version=0.0.4;q=0.1,text/plain;q=0.9,application/openmetrics-text;q=0.5", .openMetrics),
    // The same weight: a name is a stronger wish than a wildcard, two names are none.
    ("application/openmetrics-text,*/*", .openMetrics), ("text/plain,application/openmetrics-text", .text),
    ("application/openmetrics-text,text/plain", .text),
    // Refused, and nothing acceptable at all.
    ("application/openmetrics-text;q=0", .text), ("application/openmetrics-text;q=0.000", .text),
    ("text/plain;q=0,application/openmetrics-text;q=0.001", .openMetrics), ("application/json", .text),
    ("*/*;q=0", .text),
    // Malformed elements count for nothing, the others stay.
    ("application/openmetrics-text;q=2", .text), ("application/openmetrics-text;q=0.1234", .text),
    ("application/openmetrics-text;q=", .text), ("application/openmetrics-text;q=-1", .text),
    ("application/openmetrics-text;q=1.001", .text), ("application/openmetrics-text;version", .text),
    ("application/openmetrics-text;=1", .text), (#"application/openmetrics-text;version="1.0.0"#, .text),
    (#"application/openmetrics-text;version="1.0.0"x"#, .text), ("application/openmetrics text", .text),
    ("b@d,application/openmetrics-text;q=0.5,te xt/plain", .openMetrics), (";;;,,,===\"", .text),
  ]

  @Test(arguments: accepts)
  func formatFollowsAccept(accept: String?, expected: ExpositionFormat) {
    #expect(ExpositionFormat.negotiate(accept: accept) == expected)
  }

  static let encodings: [(String?, Bool)] = [
    (nil, false), ("", false), ("gzip", true), ("gzip, deflate, br", true), ("GZIP", true), ("x-gzip", true),
    ("deflate, gzip;q=1.0, *;q=0.5", true), ("gzip;q=0", false), ("gzip;q=0.0, *", false), ("*", true),
    ("*;q=0", false), ("identity", false), ("identity, gzip", true), ("identity;q=1, gzip;q=0.5", false),
    ("identity;q=0.5, gzip", true), ("identity;q=0, *", true), ("gzip;q=0.5, *", false), ("gzip;q=0.001", true),
    ("deflate", false), ("gzip;q=nan", false), ("gzip;q", false), ("gzi p", false), (" ,\tgzip ; q=0.8 ,", true),
  ]

  @Test(arguments: encodings)
  func gzipFollowsAcceptEncoding(acceptEncoding: String?, expected: Bool) {
    #expect(ContentCoding.acceptsGzip(acceptEncoding: acceptEncoding) == expected)
  }

  @Test func contentTypesNameVersionAndCharset() {
    #expect(ExpositionFormat.text.contentType == "text/plain; version=0.0.4; charset=utf-8")
    #expect(
      ExpositionFormat.openMetrics.contentType == "application/openmetrics-text; version=1.0.0; charset=utf-8")
  }

  /// Random sequences of the characters that mean something, and of ones that don't: none traps.
  @Test func garbageDoesNoHarm() {
    let pieces = [
      "application/openmetrics-text", "text/plain", "gzip", "*", "*/*", "/", "q", "version", "=", ";", ",", "\"", "\\",
      "0", "1", ".", "0.5", " ", "\t", "\u{0}", "é", "👩‍🚀", "-",
    ]
    var random = SplitMix64(state: 20)
    for _ in 0..<5_000 {
      let header = (0..<Int.random(in: 0...24, using: &random)).map { _ in pieces.randomElement(using: &random)! }
        .joined()
      for element in WeightedElement.list(header) {
        #expect((0...1000).contains(element.weight) && !element.name.isEmpty, "\(header)")
      }
      _ = ExpositionFormat.negotiate(accept: header)
      _ = ContentCoding.acceptsGzip(acceptEncoding: header)
    }
  }
}

/// A small generator with a seed, so that a failure repeats itself.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
