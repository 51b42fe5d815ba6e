// Goal: SPIFFE IDs and principal patterns mean the same to the parsers, the matcher and a reader of the standard.
// Method: the input is a pattern, a line break and an ID. Both are read by the product and by a plain model of the
// standard that takes segments apart as strings, and must agree.

import FuzzSupport
import Testing

@testable import ProxyCore

@Suite("Principal fuzzer")
struct PrincipalFuzz {
  static let target = FuzzTarget("principals", inputMax: 512) { input in
    let parts = input.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
    let pattern = try checkPattern(UnsafeRawBufferPointer(rebasing: parts[0]))
    guard parts.count > 1 else { return }
    let id = UnsafeRawBufferPointer(rebasing: parts[1])
    guard let name = try checkID(id) else { return }
    try checkAsPattern(of: name)
    if let pattern { try checkMatch(pattern, name) }
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }

  // MARK: The product

  /// The pattern, if the configuration takes it.
  private static func checkPattern(_ bytes: UnsafeRawBufferPointer) throws(Finding) -> String? {
    let text = String(decoding: bytes, as: UTF8.self)
    let isTaken = (try? PrincipalPattern.syntax.parse(ScalarText(text: text, isPlain: false))) != nil
    try expect(isTaken == Model.isPattern(text), "pattern \(text) is taken: \(isTaken)")
    return isTaken ? text : nil
  }

  /// The ID, if it is one.
  private static func checkID(_ bytes: UnsafeRawBufferPointer) throws(Finding) -> String? {
    let isValid: Bool
    switch SPIFFEID.check(bytes) {
    case .success(let end):
      isValid = true
      try expect((SPIFFEID.scheme.utf8CodeUnitCount...bytes.count).contains(end), "the trust domain ends at \(end)")
    case .failure: isValid = false
    }
    let text = String(decoding: bytes, as: UTF8.self)
    try expect(isValid == Model.isID(text), "ID \(text) is valid: \(isValid)")
    guard isValid else { return nil }
    guard let id = try? SPIFFEID(text) else { throw Finding("\(text) is valid as bytes only") }
    try expect("spiffe://" + id.trustDomain + id.path == text, "\(text) falls apart into \(id.trustDomain), \(id.path)")
    return text
  }

  /// An ID with a path is a pattern that matches it and nothing else.
  private static func checkAsPattern(of id: String) throws(Finding) {
    guard id.utf8.count(where: { $0 == UInt8(ascii: "/") }) > 2 else { return }
    let taken = try? PrincipalPattern.syntax.parse(ScalarText(text: id, isPlain: false))
    try expect(taken == id, "\(id) is no pattern")
    try expect(matches(id, id), "\(id) does not match itself")
    try expect(!matches(id, id + "x") && !matches(id, id + "/x"), "\(id) matches more than itself")
    try expect(matches(id + "/*", id + "/x") && !matches(id + "/*", id), "\(id)/* is not one segment more")
    try expect(matches(id + "/**", id + "/x/y") && !matches(id + "/**", id), "\(id)/** is not one segment or more")
  }

  private static func checkMatch(_ pattern: String, _ id: String) throws(Finding) {
    let isMatch = matches(pattern, id)
    try expect(isMatch == Model.matches(pattern, id), "\(pattern) matches \(id): \(isMatch)")
    // The policy and the mesh rules ask the same matcher.
    let rules = AuthorizationPolicy([Configuration.AllowRule(principals: [pattern])])
    let mesh = MeshRules([Configuration.MeshRule(tls: .strict, principals: [pattern])])
    let (isAllowed, isExpected) = Array(id.utf8).withUnsafeBytes { bytes in
      (rules.decide(principal: bytes, source: IPAddress(v4: 1), port: 1), mesh.expects(bytes, rule: 0))
    }
    try expect(isAllowed == (isMatch ? .allowed : .denied(.principal)), "\(pattern) decides \(isAllowed) on \(id)")
    try expect(isExpected == isMatch, "\(pattern) expects \(id): \(isExpected)")
  }

  private static func matches(_ pattern: String, _ id: String) -> Bool {
    Array(id.utf8).withUnsafeBytes { PrincipalMatcher(pattern).matches($0) }
  }

  // MARK: The model

  /// The standard SPIFFE-ID, section 2, word by word and without regard to cost.
  private enum Model {
    static let pathCharacters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_".utf8)
    static let domainCharacters = Set("abcdefghijklmnopqrstuvwxyz0123456789.-_".utf8)

    /// Trust domain and path segments; nil where the scheme is another.
    static func parts(_ text: String) -> [Substring.UTF8View]? {
      guard text.utf8.starts(with: "spiffe://".utf8) else { return nil }
      return text.utf8.dropFirst("spiffe://".utf8.count).split(
        separator: UInt8(ascii: "/"), omittingEmptySubsequences: false
      ).map { Substring($0).utf8 }
    }

    static func isDomain(_ part: Substring.UTF8View) -> Bool {
      (1...255).contains(part.count) && part.allSatisfy(domainCharacters.contains)
    }

    static func isSegment(_ part: Substring.UTF8View) -> Bool {
      !part.isEmpty && part.allSatisfy(pathCharacters.contains) && !part.elementsEqual(".".utf8)
        && !part.elementsEqual("..".utf8)
    }

    static func isID(_ text: String) -> Bool {
      guard text.utf8.count <= 2048, let parts = parts(text) else { return false }
      return isDomain(parts[0]) && parts.dropFirst().allSatisfy(isSegment)
    }

    static func isPattern(_ text: String) -> Bool {
      guard text.utf8.count <= 2048, let parts = parts(text), parts.count > 1, isDomain(parts[0]) else { return false }
      return parts.indices.dropFirst().allSatisfy { index in
        isSegment(parts[index]) || parts[index].elementsEqual("*".utf8)
          || (index == parts.count - 1 && parts[index].elementsEqual("**".utf8))
      }
    }

    static func matches(_ pattern: String, _ id: String) -> Bool {
      guard let wanted = parts(pattern), let found = parts(id) else { return false }
      let hasRest = wanted.last?.elementsEqual("**".utf8) == true
      guard hasRest ? found.count >= wanted.count : found.count == wanted.count else { return false }
      return zip(hasRest ? wanted.dropLast() : wanted[...], found).allSatisfy { segment, name in
        segment.elementsEqual("*".utf8) || segment.elementsEqual(name)
      }
    }
  }
}
