// Goal: no file, flag or variable can crash the decoder; what it takes reads back equal, and what it refuses is refused
// with a bounded number of printable lines. Method: the input is a file; behind a zero byte, which no file may hold, come
// flags, variables and forwards, a line each.

import FuzzSupport
import Testing

@testable import ProxyCore

@Suite("Configuration fuzzer")
struct ConfigurationFuzz {
  static let target = FuzzTarget("configuration", inputMax: 4_096) { input in
    let parts = input.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    try check(Array(parts[0]), overrides(parts.count > 1 ? String(decoding: parts[1], as: UTF8.self) : ""))
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }

  /// `--flag=value`, `VARIABLE=value`, and everything else is a forward.
  private static func overrides(_ text: String) -> Overrides {
    var overrides = Overrides(environment: [], flags: [], forwards: [])
    for line in text.split(separator: "\n") {
      let sides = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      if line.hasPrefix("--") {
        overrides.flags.append((sides[0], sides.count > 1 ? sides[1] : ""))
      } else if line.hasPrefix("SIDECAR_") {
        overrides.environment.append((sides[0], sides.count > 1 ? sides[1] : ""))
      } else {
        overrides.forwards.append(String(line))
      }
    }
    return overrides
  }

  private static func check(_ bytes: [UInt8], _ overrides: Overrides) throws(Finding) {
    let loaded: Configuration.Loaded
    do throws(ConfigurationError) {
      loaded = try Configuration.load(content: bytes, path: "f", overrides: overrides)
    } catch {
      try expect(error.diagnostics.contains { $0.severity == .error }, "refused without an error")
      return try check(error.diagnostics)
    }
    try check(loaded.warnings)
    try expect(!loaded.warnings.contains { $0.severity == .error }, "accepted with an error")
    try expect(!loaded.configuration.listeners.isEmpty, "accepted without a listener")
    try checkRendering(of: loaded.configuration)
  }

  private static func check(_ diagnostics: [Diagnostic]) throws(Finding) {
    try expect(diagnostics.count <= DiagnosticCollector.countMax + 1, "\(diagnostics.count) diagnostics")
    for diagnostic in diagnostics {
      let text = diagnostic.description
      try expect(text.utf8.count < 1_000, "a diagnostic of \(text.utf8.count) bytes")
      try expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }, "unprintable: \(text)")
    }
  }

  private static func checkRendering(of configuration: Configuration) throws(Finding) {
    let text = configuration.render()
    let again: Configuration
    do throws(ConfigurationError) {
      let nothing = Overrides(environment: [], flags: [], forwards: [])
      again = try Configuration.load(content: Array(text.utf8), path: "again", overrides: nothing).configuration
    } catch {
      throw Finding("does not read back: \(error)\n\(text)")
    }
    try expect(again == configuration, "reads back otherwise:\n\(text)")
  }
}
