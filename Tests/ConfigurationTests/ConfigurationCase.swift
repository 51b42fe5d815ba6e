// The form in which the tables of configurations are written, and how they are loaded without a file.

import Testing

@testable import ProxyCore

/// A configuration and everything that has to be said about it.
struct ConfigurationCase: Sendable, CustomTestStringConvertible {
  var name: String
  var yaml: String
  /// The diagnostics in their order, as an operator reads them.
  var expected: [String]

  var testDescription: String { name }

  /// Reads a table: each case is a line `=== name`, the lines of the file `sidecar.yaml` (in which ⇥ stands for a tab),
  /// and one line `--- diagnostic` for each diagnostic.
  static func table(_ text: String) -> [ConfigurationCase] {
    var cases: [ConfigurationCase] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("=== ") {
        cases.append(ConfigurationCase(name: String(line.dropFirst(4)), yaml: "", expected: []))
      } else if line.hasPrefix("--- ") {
        cases[cases.count - 1].expected.append(String(line.dropFirst(4)))
      } else {
        cases[cases.count - 1].yaml += line.replacing("⇥", with: "\t") + "\n"
      }
    }
    return cases
  }
}

/// Loads a text as if it were the content of `sidecar.yaml`.
func load(
  _ yaml: String, environment: [(String, String)] = [], flags: [(flag: String, value: String)] = [],
  forwards: [String] = []
) throws(ConfigurationError) -> Configuration.Loaded {
  let overrides = Overrides(environment: environment, flags: flags, forwards: forwards)
  return try Configuration.load(content: Array(yaml.utf8), path: "sidecar.yaml", overrides: overrides)
}

/// What is said about a configuration that must be refused; empty when it is accepted.
func errors(
  _ yaml: String, environment: [(String, String)] = [], flags: [(flag: String, value: String)] = [],
  forwards: [String] = []
) -> [String] {
  do throws(ConfigurationError) {
    _ = try load(yaml, environment: environment, flags: flags, forwards: forwards)
    return []
  } catch {
    return error.diagnostics.map(\.description)
  }
}

/// A listener that nothing is wrong with, for tests about something else.
let someListener = "listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]\n"
