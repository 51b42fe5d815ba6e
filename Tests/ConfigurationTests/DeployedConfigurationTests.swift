// Goal: what deploy/ tells people to start from is right in every word. Method: each sidecar.yaml there, and each one inside
// of a ConfigMap, is loaded; nothing may be wrong or doubtful in it.

import Glibc
import Testing

@testable import ProxyCore

@Suite("Configurations of deploy/")
struct DeployedConfigurationTests {
  private static let directory = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/deploy"

  private static func files(_ patterns: String...) -> [String] {
    patterns.flatMap { pattern in
      var found = glob_t()
      defer { globfree(&found) }
      guard glob("\(directory)/\(pattern)", 0, nil, &found) == 0 else { return [String]() }
      return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
    }
  }

  private static func content(_ path: String) throws -> String {
    let file = try #require(fopen(path, "re"), "\(path)")
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    return String(decoding: bytes[..<fread(&bytes, 1, bytes.count, file)], as: UTF8.self)
  }

  private func check(_ yaml: String, of path: String) {
    let overrides = Overrides(environment: [], flags: [], forwards: [])
    do throws(ConfigurationError) {
      let loaded = try Configuration.load(content: Array(yaml.utf8), path: path, overrides: overrides)
      #expect(loaded.warnings.map(\.description) == [])
    } catch {
      Issue.record("\(error)")
    }
  }

  @Test("Examples", arguments: files("examples/*/sidecar.yaml", "examples/*/*/sidecar.yaml"))
  func example(path: String) throws {
    check(try Self.content(path), of: path)
  }

  @Test("ConfigMaps of the pods", arguments: files("pod/*.yaml"))
  func pod(path: String) throws {
    let lines = try Self.content(path).split(separator: "\n", omittingEmptySubsequences: false)
    let key = try #require(lines.firstIndex(of: "  sidecar.yaml: |"), "\(path) has no configuration")
    // The block is what is indented further than its key.
    let block = lines[(key + 1)...].prefix { $0.hasPrefix("    ") }
    check(block.map { $0.dropFirst(4) }.joined(separator: "\n") + "\n", of: path)
  }

  @Test("None is missed")
  func count() {
    #expect(Self.files("examples/*/sidecar.yaml", "examples/*/*/sidecar.yaml").count >= 10)
    #expect(Self.files("pod/*.yaml").count == 2)
  }
}
