// Goal: numbers lose nothing on their way to text, and bounds read as those of every other exporter.
// Method: tables, among them the examples of the OpenMetrics specification, and reading back what was printed.

import Testing

@testable import Metrics

@Suite struct RenderingTests {
  private func rendered(_ append: (inout [UInt8]) -> Void) -> String {
    var bytes: [UInt8] = []
    append(&bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test(arguments: [0, 1, 9, 10, 99, 100, 1 << 53 + 1, 1 << 63, .max - 1, .max] as [UInt64])
  func integersAreExact(value: UInt64) {
    #expect(rendered { $0.append(decimal: value) } == String(value))
  }

  @Test(arguments: [Int.min, -1, 0, 1, .max])
  func signedGaugesAreExact(value: Int) throws {
    var exposition = Exposition(format: .text)
    exposition.family(name: "a", type: .gauge, help: "A.")
    exposition.sample(value: value)
    #expect(try parseExposition(exposition.finish(), format: .text)[0].samples[0].value == String(value))
  }

  @Test(
    arguments: [
      (0, "0"), (1, "0.000000001"), (10, "0.00000001"), (100_000_000, "0.1"), (999_999_999, "0.999999999"),
      (1_000_000_000, "1"), (1_500_000_000, "1.5"), (10_000_000_010, "10.00000001"),
      (.max, "18446744073.709551615"),
    ] as [(UInt64, String)])
  func secondsAreExact(nanoseconds: UInt64, expected: String) {
    #expect(rendered { $0.append(seconds: nanoseconds) } == expected)
  }

  @Test(
    arguments: [
      (1, "1e-09"), (10, "1e-08"), (10_000, "1e-05"), (12_345, "1.2345e-05"), (50_000, "5e-05"), (99_999, "9.9999e-05"),
      (100_000, "0.0001"), (250_000, "0.00025"), (1_000_000, "0.001"), (2_500_000, "0.0025"), (10_000_000, "0.01"),
      (100_000_000, "0.1"), (999_000_000, "0.999"), (1_000_000_000, "1.0"), (1_700_000_000, "1.7"),
      (10_000_000_000, "10.0"), (10_500_000_000, "10.5"), (3_600_000_000_000, "3600.0"),
      (100_000_000_000_000, "100000.0"), (1_000_000_000_000_000, "1e+06"), (1_234_567_000_000_000, "1.234567e+06"),
      (10_000_000_000_000_000_000, "1e+10"),
    ] as [(UInt64, String)])
  func boundsAreCanonical(nanoseconds: UInt64, expected: String) {
    #expect(rendered { $0.append(canonicalSeconds: nanoseconds) } == expected)
  }

  @Test func doublesReadBackTheSame() {
    let edges = [
      0, 0.1, 1e-5, 1.5e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .pi, 1_795_484_043.671, 1e16, -2.5,
    ]
    var random = SplitMix64(state: 3)
    let others = (0..<10_000).map { _ in Double(bitPattern: random.next()) }.filter(\.isFinite)
    for value in edges + others {
      let text = rendered { $0.append(double: value) }
      #expect(Double(text)?.bitPattern == value.bitPattern, "\(text)")
      #expect(text.wholeMatch(of: /-?[0-9]+([.][0-9]+)?(e[+-][0-9]+)?/) != nil, "\(text)")
    }
    #expect(rendered { $0.append(double: .infinity) } == "+Inf")
    #expect(rendered { $0.append(double: -.infinity) } == "-Inf")
    #expect(rendered { $0.append(double: .nan) } == "NaN")
  }
}
