// Goal: SPIFFE IDs, principal patterns and the rules made of them mean what the SPIFFE standards and design say.
// Method: tables.

import Testing

@testable import ProxyCore

@Suite struct IdentityTests {
  static let domain255 = String(repeating: "d", count: 255)

  /// Would-be SPIFFE IDs and what is wrong with them; nil when nothing is.
  static let ids: [(String, SPIFFEID.Violation?)] = [
    ("spiffe://cluster.local", nil),
    ("spiffe://cluster.local/ns/web/sa/frontend", nil),
    ("spiffe://a/b", nil),
    ("spiffe://1.2.3.4/service", nil),
    ("spiffe://under_score.example-1.org/x", nil),
    ("spiffe://td/UPPER/Case.and-more_1", nil),
    ("spiffe://td/..a/b..", nil),
    ("spiffe://td/...", nil),
    ("spiffe://td/.a", nil),
    ("spiffe://td/9eebccd2-12bf-40a6-b262-65fe0487d453", nil),
    ("spiffe://\(domain255)/x", nil),
    ("spiffe://td/" + String(repeating: "a", count: 2048 - 12), nil),
    ("spiffe://-/x", nil),
    ("spiffe://.../x", nil),
    ("", .scheme),
    ("spiffe", .scheme),
    ("spiffe:/td/x", .scheme),
    ("spiffe:td/x", .scheme),
    ("SPIFFE://td/x", .scheme),
    ("Spiffe://td/x", .scheme),
    ("https://td/x", .scheme),
    (" spiffe://td/x", .scheme),
    ("//td/x", .scheme),
    ("td/x", .scheme),
    ("spiffe://", .emptyTrustDomain),
    ("spiffe:///x", .emptyTrustDomain),
    ("spiffe://\(domain255)d/x", .trustDomainTooLong),
    ("spiffe://TD/x", .trustDomainCharacter),
    ("spiffe://td:443/x", .trustDomainCharacter),
    ("spiffe://user@td/x", .trustDomainCharacter),
    ("spiffe://td%2e/x", .trustDomainCharacter),
    ("spiffe://t d/x", .trustDomainCharacter),
    ("spiffe://dömain/x", .trustDomainCharacter),
    ("spiffe://[::1]/x", .trustDomainCharacter),
    ("spiffe://td?q", .trustDomainCharacter),
    ("spiffe://td#f", .trustDomainCharacter),
    ("spiffe://*/x", .trustDomainCharacter),
    ("spiffe://td\0/x", .trustDomainCharacter),
    ("spiffe://td/", .trailingSlash),
    ("spiffe://td/x/", .trailingSlash),
    ("spiffe://td//x", .emptySegment),
    ("spiffe://td/x//y", .emptySegment),
    ("spiffe://td/./x", .dotSegment),
    ("spiffe://td/x/..", .dotSegment),
    ("spiffe://td/../x", .dotSegment),
    ("spiffe://td/.", .dotSegment),
    ("spiffe://td/x?q=1", .pathCharacter),
    ("spiffe://td/x#f", .pathCharacter),
    ("spiffe://td/%61", .pathCharacter),
    ("spiffe://td/a b", .pathCharacter),
    ("spiffe://td/ü", .pathCharacter),
    ("spiffe://td/*", .pathCharacter),
    ("spiffe://td/a:b", .pathCharacter),
    ("spiffe://td/a\0", .pathCharacter),
    ("spiffe://td/a\n", .pathCharacter),
    ("spiffe://td/" + String(repeating: "a", count: 2049 - 12), .tooLong),
  ]

  @Test(arguments: ids)
  func spiffeIDsAreReadByTheStandard(_ text: String, _ expected: SPIFFEID.Violation?) {
    do throws(SPIFFEID.Violation) {
      let id = try SPIFFEID(text)
      #expect(expected == nil)
      #expect("spiffe://" + id.trustDomain + id.path == text)
    } catch {
      #expect(error == expected)
    }
  }

  /// Patterns, IDs, and whether they match.
  static let patterns: [(String, String, Bool)] = [
    ("spiffe://td/ns/web/sa/a", "spiffe://td/ns/web/sa/a", true),
    ("spiffe://td/ns/web/sa/a", "spiffe://td/ns/web/sa/ab", false),
    ("spiffe://td/ns/web/sa/a", "spiffe://td/ns/web/sa", false),
    ("spiffe://td/ns/web/sa/a", "spiffe://td/ns/web/sa/a/b", false),
    ("spiffe://td/ns/web/sa/a", "spiffe://td/ns/web/sa/A", false),
    ("spiffe://td/ns/web/sa/a", "spiffe://td2/ns/web/sa/a", false),
    ("spiffe://td/ns/web/sa/*", "spiffe://td/ns/web/sa/a", true),
    ("spiffe://td/ns/web/sa/*", "spiffe://td/ns/web/sa/a/b", false),
    ("spiffe://td/ns/web/sa/*", "spiffe://td/ns/web/sa", false),
    ("spiffe://td/ns/web/sa/*", "spiffe://td/ns/webb/sa/a", false),
    ("spiffe://td/ns/*/sa/*", "spiffe://td/ns/web/sa/a", true),
    ("spiffe://td/ns/*/sa/*", "spiffe://td/ns/web/x/a", false),
    ("spiffe://td/ns/*/sa/*", "spiffe://td/ns/web/y/sa/a", false),
    ("spiffe://td/*", "spiffe://td/a", true),
    ("spiffe://td/*", "spiffe://td/a/b", false),
    ("spiffe://td/*", "spiffe://td", false),
    ("spiffe://td/*/b", "spiffe://td/a/b", true),
    ("spiffe://td/*/b", "spiffe://td/a/bb", false),
    ("spiffe://td/*/b", "spiffe://td/a", false),
    ("spiffe://td/ns/web/**", "spiffe://td/ns/web/sa", true),
    ("spiffe://td/ns/web/**", "spiffe://td/ns/web/sa/a/b/c", true),
    ("spiffe://td/ns/web/**", "spiffe://td/ns/web", false),
    ("spiffe://td/ns/web/**", "spiffe://td/ns/webx/sa", false),
    ("spiffe://td/**", "spiffe://td/a", true),
    ("spiffe://td/**", "spiffe://td", false),
    ("spiffe://td/**", "spiffe://tdx/a", false),
    ("spiffe://td/**", "spiffe://t/a", false),
    ("spiffe://td/*/sa/**", "spiffe://td/x/sa/a/b", true),
    ("spiffe://td/*/sa/**", "spiffe://td/x/sa", false),
    ("spiffe://td/*/sa/**", "spiffe://td/x/y/sa/a", false),
    ("spiffe://td/*/**", "spiffe://td/x/y", true),
    ("spiffe://td/*/**", "spiffe://td/x", false),
  ]

  @Test(arguments: patterns)
  func patternsMatchWholeSegments(_ pattern: String, _ id: String, _ expected: Bool) {
    #expect(Array(id.utf8).withUnsafeBytes { PrincipalMatcher(pattern).matches($0) } == expected)
  }

  static let web = "spiffe://td/ns/web/sa/a"
  static let rules = [
    Configuration.AllowRule(
      principals: ["spiffe://td/ns/web/sa/*"], ports: [8080, 8081], sources: [CIDR("10.0.0.0/8")!]),
    Configuration.AllowRule(principals: ["spiffe://td/ops/**"], ports: nil, sources: nil),
    Configuration.AllowRule(principals: nil, ports: [9090], sources: [CIDR("192.168.0.0/16")!, CIDR("fd00::/8")!]),
  ]

  /// Peers before those rules, and what becomes of them.
  static let peers: [(String?, String, UInt16?, AuthorizationPolicy.Decision)] = [
    (web, "10.1.2.3", 8080, .allowed),
    (web, "10.1.2.3", 8081, .allowed),
    (web, "::ffff:10.1.2.3", 8080, .allowed),
    (web, "10.1.2.3", 8082, .denied(.port)),
    (web, "11.1.2.3", 8080, .denied(.source)),
    (web, "11.1.2.3", 8082, .denied(.port)),
    (web, "10.1.2.3", nil, .denied(.port)),
    ("spiffe://td/ops/anybody/at/all", "8.8.8.8", 1, .allowed),
    ("spiffe://td/ops/x", "8.8.8.8", nil, .allowed),
    ("spiffe://td/ops", "8.8.8.8", 1, .denied(.port)),
    ("spiffe://other/ns/web/sa/a", "10.1.2.3", 8080, .denied(.port)),
    ("spiffe://td/ns/db/sa/a", "192.168.1.1", 9090, .allowed),
    ("spiffe://td/ns/db/sa/a", "192.168.1.1", 9091, .denied(.port)),
    (nil, "192.168.1.1", 9090, .allowed),
    (nil, "fd00::1", 9090, .allowed),
    (nil, "fe80::1", 9090, .denied(.source)),
    (nil, "10.1.2.3", 8080, .denied(.port)),
  ]

  @Test(arguments: peers.indices)
  func policyNamesWhatComesClosest(row: Int) {
    let (principal, source, port, expected) = Self.peers[row]
    let decision = decide(AuthorizationPolicy(Self.rules), principal, source, port)
    #expect(decision == expected)
  }

  @Test func policyWithoutRulesAndWithNone() {
    #expect(decide(AuthorizationPolicy(nil), nil, "1.2.3.4", 1) == .allowed)
    #expect(decide(AuthorizationPolicy([]), Self.web, "1.2.3.4", 1) == .denied(.noRules))
    let only = AuthorizationPolicy([Configuration.AllowRule(principals: ["spiffe://td/x"])])
    #expect(decide(only, Self.web, "1.2.3.4", 1) == .denied(.principal))
    #expect(decide(only, nil, "1.2.3.4", 1) == .denied(.noIdentity))
  }

  @Test func firstMeshRuleDecides() {
    let mesh = MeshRules([
      Configuration.MeshRule(destinations: [CIDR("10.9.0.0/16")!], tls: .off),
      Configuration.MeshRule(
        destinations: [CIDR("10.0.0.0/8")!], ports: [8080], tls: .strict, principals: ["spiffe://td/ns/db/sa/*"]),
      Configuration.MeshRule(ports: [443]),
    ])
    #expect(mesh.match(SocketAddress("10.9.1.1:8080")!) == .clear(rule: 0))
    #expect(mesh.match(SocketAddress("10.8.1.1:8080")!) == .mutualTLS(rule: 1))
    #expect(mesh.match(SocketAddress("10.8.1.1:443")!) == .mutualTLS(rule: 2))
    #expect(mesh.match(SocketAddress("[fd00::1]:443")!) == .mutualTLS(rule: 2))
    #expect(mesh.match(SocketAddress("11.8.1.1:8080")!) == .none)
    let database = Array("spiffe://td/ns/db/sa/x".utf8)
    database.withUnsafeBytes {
      #expect(mesh.expects($0, rule: 1))
      #expect(mesh.expects($0, rule: 2))
      #expect(!mesh.expects($0, rule: 3))
    }
    Array(Self.web.utf8).withUnsafeBytes { #expect(!mesh.expects($0, rule: 1)) }
  }

  @Test("Tickets go by whom a rule expects, not by its place: a reload may put another rule there")
  func expectation() {
    func expectation(_ principals: [String]?) -> UInt32 {
      MeshRules([Configuration.MeshRule(tls: .strict, principals: principals)]).expectation(rule: 0)
    }
    let patterns = ["spiffe://td/a", "spiffe://td/b", "spiffe://td/a/*", "spiffe://td/**"]
    let different = [[]] + patterns.map { [$0] } + [Array(patterns.prefix(2)), patterns, ["spiffe://td/as", "piffe"]]
    #expect(Set(different.map(expectation)).count == different.count)
    #expect(expectation(patterns) == expectation(patterns.reversed()))
    let mesh = MeshRules([.init(ports: [1], principals: ["spiffe://td/a"]), .init(principals: ["spiffe://td/a"])])
    #expect(mesh.expectation(rule: 0) == mesh.expectation(rule: 1))
    #expect(mesh.expectation(rule: 0) == expectation(["spiffe://td/a"]))
  }

  private func decide(
    _ policy: AuthorizationPolicy, _ principal: String?, _ source: String, _ port: UInt16?
  ) -> AuthorizationPolicy.Decision {
    let source = IPAddress(source)!
    guard let principal else { return policy.decide(principal: nil, source: source, port: port) }
    return Array(principal.utf8).withUnsafeBytes { policy.decide(principal: $0, source: source, port: port) }
  }
}
