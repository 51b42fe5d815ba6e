// Goal: every way of getting a configuration wrong has its own message with its own place, and all mistakes of a file are
// reported at once. Method: tables of wrong files with the exact diagnostics.

import Testing

@testable import ProxyCore

@Suite("Wrong configurations")
struct WrongConfigurationTests {
  @Test(
    "are refused with exactly these diagnostics",
    arguments: wrongSyntax + wrongValues + wrongListeners + wrongRules + contradictions)
  func refused(_ example: ConfigurationCase) {
    #expect(!example.expected.isEmpty)
    #expect(errors(example.yaml) == example.expected)
  }

  @Test("that are only doubtful are accepted with exactly these warnings", arguments: doubtful)
  func warned(_ example: ConfigurationCase) throws {
    #expect(try load(example.yaml).warnings.map(\.description) == example.expected)
  }

  @Test("are at least 60, each under a name of its own")
  func count() {
    let cases = wrongSyntax + wrongValues + wrongListeners + wrongRules + contradictions
    #expect(cases.count >= 60)
    #expect(Set(cases.map(\.name)).count == cases.count)
  }

  @Test("say a principal's length rather than the principal")
  func longPrincipal() {
    let principal = "spiffe://a/" + String(repeating: "b", count: 2048)
    let identity = "identity: {certificate: /a, privateKey: /b, trustBundle: /c}\n"
    let yaml =
      identity + "listeners: [{name: app, direction: inbound, bind: 0.0.0.0:1, target: 127.0.0.1:2, "
      + "allow: [{principals: [\"\(principal)\"]}]}]\n"
    #expect(
      errors(yaml) == [
        "sidecar.yaml:2:105: listeners[0].allow[0].principals[0]: the pattern has 2059 bytes; expected at most 2048"
      ])
  }

  @Test("print control characters of a value as escapes, so that they can't act on a terminal")
  func controlCharacters() {
    let yaml = "log: {level: \"\\e[31m\\n\\u202e\"}\n" + someListener
    #expect(
      errors(yaml) == [
        #"sidecar.yaml:1:14: log.level: "\x1b[31m\n\u202e" is unknown; expected debug, info, warning or error"#
      ])
  }

  @Test("print at most 60 characters of a value")
  func longValue() {
    let yaml = "log: {level: \(String(repeating: "x", count: 500))}\n" + someListener
    let shown = String(repeating: "x", count: 60)
    #expect(
      errors(yaml) == ["sidecar.yaml:1:14: log.level: \"\(shown)…\" is unknown; expected debug, info, warning or error"]
    )
  }
}
