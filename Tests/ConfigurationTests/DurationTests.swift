// Goal: durations are read and written exactly, in the unit that the kernel counts in. Method: tables; the wrong ones
// are in the table of wrong values.

import Testing

@testable import ProxyCore

@Suite("Durations")
struct DurationTests {
  @Test(
    "Text",
    arguments: [
      ("0s", 0, "0s"), ("0ms", 0, "0s"), ("1ms", 1, "1ms"), ("250ms", 250, "250ms"), ("5s", 5_000, "5s"),
      ("1m30s", 90_000, "1m30s"), ("90s", 90_000, "1m30s"), ("1h", 3_600_000, "1h"), ("60m", 3_600_000, "1h"),
      ("1h2m3s4ms", 3_723_004, "1h2m3s4ms"), ("007s", 7_000, "7s"), ("1500ms", 1_500, "1s500ms"),
    ])
  func text(text: String, milliseconds: Int, canonical: String) throws {
    let duration = try Duration.parse(text)
    #expect(duration == .milliseconds(milliseconds))
    #expect(duration.configurationText == canonical)
    #expect(try Duration.parse(canonical) == duration)
    #expect(duration.nanoseconds == UInt64(milliseconds) * 1_000_000)
  }

  @Test(
    "What isn't a duration",
    arguments: [
      "", "s", "5", "-1s", "+1s", "1.5s", "1s1m", "1s1s", "1 s", " 1s", "1s ", "1S", "1sm", "1d", "0x1s", "1e3s", "٥s",
      "99999999999999999999s", "18446744073709551615ms",
    ])
  func refused(_ text: String) {
    #expect(throws: ValueProblem.self) { try Duration.parse(text) }
  }

  @Test("Nanoseconds saturate instead of trapping")
  func nanoseconds() {
    #expect(Duration.seconds(-1).nanoseconds == 0)
    #expect(Duration.nanoseconds(-1).nanoseconds == 0)
    #expect(Duration.seconds(Int64.max).nanoseconds == .max)
    #expect(Duration.nanoseconds(1).nanoseconds == 1)
  }
}
