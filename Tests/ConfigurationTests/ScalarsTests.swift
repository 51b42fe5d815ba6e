// Goal: every scalar can be set by file, environment and flag, and is in the reference. Method: driven by the table of
// scalars itself, so that a scalar that one of them forgets fails here.

import Testing

@testable import ProxyCore

@Suite("Scalars")
struct ScalarsTests {
  /// For each scalar a value that is not its default, in the form in which it is rendered.
  private static let samples = [
    "workers": "3", "engine": "io_uring", "confinement": "required",
    "identity.certificate": "/sample/crt", "identity.privateKey": "/sample/key", "identity.trustBundle": "/sample/ca",
    "identity.alpn": "sample/1",
    "timeouts.connect": "1s", "timeouts.handshake": "2s", "timeouts.detect": "3ms", "timeouts.idle": "4m",
    "timeouts.halfClose": "5h", "drain.grace": "6s", "drain.deadline": "1m10s",
    "limits.connections": "7", "admin.bind": "127.0.0.1:1", "admin.allowRemote": "true", "metrics.bind": "127.0.0.1:2",
    "accessLog.path": "/sample/log", "accessLog.format": "text", "accessLog.maxSize": "64KiB",
    "accessLog.maxFiles": "2", "log.level": "error", "log.format": "json",
  ]

  /// What the other parts of an identity need to be there.
  private static let identity = "identity: {certificate: /a, privateKey: /b, trustBundle: /c}\n"

  @Test("There is a sample for every scalar, and it is not the default")
  func completeness() {
    #expect(Set(Configuration.scalars.map(\.keyPath)) == Set(Self.samples.keys))
    #expect(Configuration.scalars.count == Self.samples.count)
    for scalar in Configuration.scalars { #expect(scalar.defaultText != Self.samples[scalar.keyPath]) }
  }

  @Test(
    "Each can be set by file, by environment and by flag, and changes nothing else", arguments: samples.keys.sorted())
  func settable(keyPath: String) throws {
    let scalar = try #require(Configuration.scalars.first { $0.keyPath == keyPath })
    let sample = try #require(Self.samples[keyPath])
    let base = (keyPath.hasPrefix("identity.") ? Self.identity : "") + someListener
    let before = try load(base).configuration
    let (section, key) = scalar.section
    let line = section.isEmpty ? "\(key): \(sample)\n" : "\(section): {\(key): \(sample)}\n"
    // The identity needs its other parts beside the one in question.
    let others = ["certificate: /a", "privateKey: /b", "trustBundle: /c"].filter { !$0.hasPrefix("\(key):") }
    let identity = "identity: {\(others.joined(separator: ", ")), \(key): \(sample)}\n"
    let file = section == "identity" ? identity + someListener : line + base
    let results = [
      try load(file).configuration,
      try load(base, environment: [(scalar.environmentVariable, sample)]).configuration,
      try load(base, flags: [(flag: scalar.flag, value: sample)]).configuration,
    ]
    for result in results {
      for other in Configuration.scalars {
        let shown = other.show(ConfigurationDraft(result))
        let expected = other.keyPath == keyPath ? sample : other.show(ConfigurationDraft(before))
        #expect(shown == expected, "\(other.keyPath)")
      }
      #expect(result.listeners == before.listeners)
    }
  }

  @Test("A wrong value names the file's place, the variable or the flag", arguments: samples.keys.sorted())
  func wrong(keyPath: String) throws {
    let scalar = try #require(Configuration.scalars.first { $0.keyPath == keyPath })
    let base = Self.identity + someListener
    let fromEnvironment = errors(base, environment: [(scalar.environmentVariable, " ")])
    let fromFlag = errors(base, flags: [(flag: scalar.flag, value: " ")])
    #expect(fromEnvironment.count == 1)
    #expect(fromEnvironment.first?.hasPrefix("environment \(scalar.environmentVariable): \(keyPath): ") == true)
    #expect(fromFlag.count == 1)
    #expect(fromFlag.first?.hasPrefix("\(scalar.flag): \(keyPath): ") == true)
  }

  @Test("Names are made from the key path")
  func names() throws {
    let scalar = try #require(Configuration.scalars.first { $0.keyPath == "timeouts.halfClose" })
    #expect(scalar.flag == "--timeouts-half-close")
    #expect(scalar.environmentVariable == "SIDECAR_TIMEOUTS_HALF_CLOSE")
    #expect(scalar.valueName == "duration")
    #expect(scalar.defaultText == "30s")
    #expect(Configuration.scalars.first?.flag == "--workers")
    #expect(Configuration.scalars.first?.environmentVariable == "SIDECAR_WORKERS")
    #expect(Set(Configuration.scalars.map(\.flag)).count == Configuration.scalars.count)
    #expect(Set(Configuration.scalars.map(\.environmentVariable)).count == Configuration.scalars.count)
  }

  @Test("Only the files of an identity have no default")
  func defaults() {
    let without = Configuration.scalars.filter(\.defaultText.isEmpty).map(\.keyPath)
    #expect(without == ["identity.certificate", "identity.privateKey", "identity.trustBundle"])
  }

  @Test("The reference has a row for each, with its flag, variable and default")
  func reference() throws {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let text = String(decoding: try ConfigurationFile.read("/\(root)/docs/configuration.md"), as: UTF8.self)
    for scalar in Configuration.scalars {
      let defaultText = scalar.defaultText.isEmpty ? "none" : "`\(scalar.defaultText)`"
      let row = "| `\(scalar.keyPath)` | \(defaultText) | `\(scalar.flag)` | `\(scalar.environmentVariable)` |"
      #expect(text.contains(row), "docs/configuration.md lacks: \(row)")
    }
  }
}
