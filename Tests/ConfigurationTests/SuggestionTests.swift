// Goal: a mistyped word finds the one that was meant, and an unrelated one finds none. Method: tables.

import Testing

@testable import ProxyCore

@Suite("Suggestions")
struct SuggestionTests {
  private let words = ["connect", "handshake", "halfClose", "idle", "io_uring", "warning"]

  @Test(
    "The nearest word",
    arguments: [
      ("conect", "connect"), ("connetc", "connect"), ("CONNECT", "connect"), ("half_close", "halfClose"),
      ("half-close", "halfClose"), ("io-uring", "io_uring"), ("warn", "warning"), ("idel", "idle"),
    ])
  func near(word: String, expected: String) {
    #expect(suggestion(for: word, among: words) == expected)
  }

  @Test("No word is near", arguments: ["", "x", "wo", "timeouts", "zzzzzzz", String(repeating: "connect", count: 20)])
  func far(word: String) {
    #expect(suggestion(for: word, among: words) == nil)
  }

  @Test("A swap of neighbours is one edit")
  func distance() {
    let distance = { editDistance(Array(($0 as String).utf8), Array(($1 as String).utf8)) }
    #expect(distance("", "") == 0)
    #expect(distance("", "ab") == 2)
    #expect(distance("ab", "ba") == 1)
    #expect(distance("kitten", "sitting") == 3)
    #expect(distance("same", "same") == 0)
  }
}
