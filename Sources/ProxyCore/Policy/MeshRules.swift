/// Where an outbound listener originates TLS, and whom it expects there: its `mesh` rules, ready to be asked. The worker asks
/// before it connects, and again when the other side has proved its identity.

/// Immutable; made from a listener's rules when a configuration is loaded.
struct MeshRules: Sendable {
  private let rules: [Rule]

  init(_ rules: [Configuration.MeshRule]) {
    self.rules = rules.map(Rule.init)
  }

  /// What to do with a connection to some destination.
  enum Match: Equatable, Sendable {
    /// No rule speaks of the destination: the bytes pass in the clear, and a metric counts it.
    case none
    /// This rule says so: the bytes pass in the clear.
    case clear(rule: Int)
    /// Mutual TLS or no connection at all; the other side must satisfy this rule (`expects`).
    case mutualTLS(rule: Int)
  }

  /// The first rule that matches decides.
  func match(_ destination: SocketAddress) -> Match {
    for (index, rule) in rules.enumerated() where rule.covers(destination) {
      return rule.isTLS ? .mutualTLS(rule: index) : .clear(rule: index)
    }
    return .none
  }

  /// Whether a peer with this SPIFFE ID is whom the rule expects. An unknown rule expects nobody.
  func expects(_ principal: UnsafeRawBufferPointer, rule index: Int) -> Bool {
    guard rules.indices.contains(index) else { return false }
    guard let principals = rules[index].principals else { return true }
    return principals.contains { $0.matches(principal) }
  }

  /// A number for whom a rule expects, the same for the same principals. Two sets may share one, so that it proves nothing;
  /// an unknown rule has that of a rule without principals.
  func expectation(rule index: Int) -> UInt32 {
    rules.indices.contains(index) ? rules[index].expectation : Self.expectation(of: nil)
  }

  /// FNV-1a over the patterns in ascending order.
  private static func expectation(of principals: [String]?) -> UInt32 {
    var hash: UInt32 = 0x811c_9dc5
    for pattern in principals?.sorted() ?? [] {
      for byte in pattern.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
      // What ends a pattern is in none.
      hash = (hash ^ 0xff) &* 0x0100_0193
    }
    return hash
  }

  private struct Rule: Sendable {
    let destinations: [CIDR]?
    let ports: [UInt16]?
    let isTLS: Bool
    let principals: [PrincipalMatcher]?
    let expectation: UInt32

    init(_ rule: Configuration.MeshRule) {
      destinations = rule.destinations
      ports = rule.ports
      isTLS = rule.tls == .strict
      principals = rule.principals?.map(PrincipalMatcher.init)
      expectation = MeshRules.expectation(of: rule.principals)
    }

    func covers(_ destination: SocketAddress) -> Bool {
      let isThere = destinations?.contains { $0.contains(destination.ip) } ?? true
      return isThere && (ports?.contains(destination.port) ?? true)
    }
  }
}
