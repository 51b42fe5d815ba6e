// Goal: no content of a file can crash the decoder or make it work for long. Method: mutations of a good file from a
// fixed seed, every prefix of it, and files made to explode. A crash ends the test process, which is the failure; the
// bounds are counts (nodes, diagnostics), not times.

import Testing

@testable import ProxyCore

@Suite("Robustness")
struct RobustnessTests {
  private let good = """
    workers: 4
    identity: {certificate: /tls/a, privateKey: "/tls/b", trustBundle: '/tls/c'}
    listeners:
      - name: inbound
        direction: inbound
        bind: "[::]:15006"
        target: unix:/run/app.sock
        tls: strict
        allow:
          - principals: ["spiffe://cluster.local/ns/web/sa/*"]
            sources: [10.0.0.0/8, "fd00::/8"]
      - {name: outbound, direction: outbound, bind: 127.0.0.1:15001, target: app.svc:80, mesh: [{ports: [80]}]}
    timeouts: {connect: 1m30s, idle: 0s}

    """

  /// Loads bytes and checks what holds for every input: either a configuration or at least one error, and no flood.
  private func check(_ bytes: [UInt8]) {
    do throws(ConfigurationError) {
      let loaded = try Configuration.load(
        content: bytes, path: "f", overrides: Overrides(environment: [], flags: [], forwards: []))
      #expect(!loaded.configuration.listeners.isEmpty)
    } catch {
      #expect(error.diagnostics.contains { $0.severity == .error })
      #expect(error.diagnostics.count <= DiagnosticCollector.countMax + 1)
      for diagnostic in error.diagnostics {
        #expect(diagnostic.description.utf8.count < 1_000)
        #expect(diagnostic.description.unicodeScalars.allSatisfy { $0.value >= 0x20 })
      }
    }
  }

  @Test("3,000 mutations of a good file")
  func mutations() throws {
    _ = try load(good)
    var generator = SplitMix64(seed: 7)
    let original = Array(good.utf8)
    let interesting = Array("[]{}:,-\"'#&*!|>%@\t\n\0 /.0~\\".utf8) + [0x80, 0xc3, 0xff, 0xef, 0xbb, 0xbf]
    for _ in 0..<3_000 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: bytes[index] = interesting.randomElement(using: &generator)!
        case 2: bytes.insert(interesting.randomElement(using: &generator)!, at: index)
        case 3: bytes.remove(at: index)
        default:
          let end = min(bytes.count, index + Int.random(in: 1...40, using: &generator))
          bytes.insert(contentsOf: bytes[index..<end], at: Int.random(in: 0..<bytes.count, using: &generator))
        }
      }
      check(bytes)
    }
  }

  @Test("Every prefix of a good file")
  func prefixes() {
    let bytes = Array(good.utf8)
    for length in 0..<bytes.count { check(Array(bytes[..<length])) }
  }

  @Test("1,000 files of random bytes")
  func noise() {
    var generator = SplitMix64(seed: 11)
    for _ in 0..<1_000 {
      let count = Int.random(in: 0...200, using: &generator)
      check((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
  }

  @Test("Nesting ends the parse at its bound", arguments: ["[", "{a: ", "- ", "? ", "[{a: "])
  func nesting(_ opening: String) {
    let yaml = String(repeating: opening, count: SourceText.bytesMax / opening.utf8.count)
    let messages = errors(yaml)
    #expect(messages.count == 1)
    #expect(messages.first?.hasSuffix("nested deeper than 32 levels; expected 5 at most") == true)
  }

  @Test("32 levels are read, 33 are refused")
  func depth() {
    let nested = { (depth: Int) in String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
    #expect(errors(nested(32)).first?.contains("a list can't stand here") == true)
    #expect(errors(nested(33)) == ["sidecar.yaml:1:33: nested deeper than 32 levels; expected 5 at most"])
  }

  @Test("A file of mistakes has 100 diagnostics and the number of the others")
  func flood() {
    let yaml = (0..<5_000).map { "key\($0): 1\n" }.joined()
    let messages = errors(yaml)
    #expect(messages.count == 101)
    #expect(messages.last?.hasSuffix(": 4901 more problems not shown") == true)
  }

  @Test("A key of a megabyte is refused in one short line")
  func hugeKey() {
    for yaml in ["\"\(String(repeating: "k", count: 1_000_000))\": 1\n", String(repeating: "k", count: 1_000_000)] {
      let messages = errors(yaml)
      #expect(messages.allSatisfy { $0.utf8.count < 400 })
      #expect(!messages.isEmpty)
    }
  }

  @Test("Aliases are refused, so that they can't expand")
  func aliases() {
    var yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in 1...9 {
      yaml += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ") + "]\n"
    }
    #expect(errors(yaml).count == 101)
  }

  @Test("More listeners than any pod has are refused before they are compared with each other")
  func manyListeners() {
    let listener = "  - {name: a, direction: inbound, bind: 1.1.1.1:1, target: a:1}\n"
    let messages = errors("listeners:\n" + String(repeating: listener, count: 10_000))
    #expect(messages == ["sidecar.yaml:130:5: listeners: there are 10000 of them; expected at most 128"])
  }
}
