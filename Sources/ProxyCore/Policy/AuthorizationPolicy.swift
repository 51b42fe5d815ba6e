/// Who may connect to an inbound listener: its `allow` rules, ready to be asked. The worker asks once per connection, after
/// the handshake (or at accept, when there is none) and before a byte of the peer's reaches the app.

/// Immutable; made from a listener's rules when a configuration is loaded.
public struct AuthorizationPolicy: Sendable {
  private let rules: [Rule]?

  /// Nil: everybody is allowed. Empty: nobody is.
  init(_ rules: [Configuration.AllowRule]?) {
    self.rules = rules?.map(Rule.init)
  }

  enum Decision: Equatable, Sendable {
    case allowed
    case denied(Denial)
  }

  /// Why nothing matched: what is wrong about the peer by the rule that came closest.
  public enum Denial: UInt8, Sendable, CaseIterable {
    /// The list of rules is empty.
    case noRules
    /// A principal is asked for, and the peer has none: it came without TLS.
    case noIdentity
    case principal
    case port
    case source

    /// The value of the `reason` label.
    public var label: StaticString {
      switch self {
      case .noRules: "no_rules"
      case .noIdentity: "no_identity"
      case .principal: "principal"
      case .port: "port"
      case .source: "source"
      }
    }

    /// In words for an operator, ready for a log line.
    public var explanation: StaticString {
      switch self {
      case .noRules: "the listener's allow list is empty, which denies everybody"
      case .noIdentity: "the peer has no identity, and the rules ask for one"
      case .principal: "no rule allows the peer's SPIFFE ID"
      case .port: "the peer's SPIFFE ID is allowed, but not for this port"
      case .source: "the peer's SPIFFE ID is allowed, but not from this address"
      }
    }
  }

  /// Whether a peer may connect.
  ///
  /// `principal` is the SPIFFE ID that the peer has proved, nil when it came without TLS. `port` is the app's port that it
  /// wants to reach, nil for a Unix socket, which only rules without ports allow. A rule without principals allows peers
  /// that have none: on a permissive listener that is what such a rule is for.
  func decide(principal: UnsafeRawBufferPointer?, source: IPAddress, port: UInt16?) -> Decision {
    guard let rules else { return .allowed }
    var closest = Denial.noRules
    var smallestDistance = Int.max
    for rule in rules {
      // A rule about the right principal is always closer than one about somebody else, and a port closer than that:
      // the weights make a number whose comparison says so.
      var (distance, reason) = (0, Denial.noRules)
      if !rule.allows(source: source) { (distance, reason) = (1, .source) }
      if !rule.allows(port: port) { (distance, reason) = (distance + 2, .port) }
      if !rule.allows(principal: principal) {
        (distance, reason) = (distance + 4, principal == nil ? .noIdentity : .principal)
      }
      if distance == 0 { return .allowed }
      if distance < smallestDistance { (smallestDistance, closest) = (distance, reason) }
    }
    return .denied(closest)
  }

  private struct Rule: Sendable {
    let principals: [PrincipalMatcher]?
    let ports: [UInt16]?
    let sources: [CIDR]?

    init(_ rule: Configuration.AllowRule) {
      principals = rule.principals?.map(PrincipalMatcher.init)
      ports = rule.ports
      sources = rule.sources
    }

    func allows(principal: UnsafeRawBufferPointer?) -> Bool {
      guard let principals else { return true }
      guard let principal else { return false }
      return principals.contains { $0.matches(principal) }
    }

    func allows(port: UInt16?) -> Bool {
      guard let ports else { return true }
      guard let port else { return false }
      return ports.contains(port)
    }

    func allows(source: IPAddress) -> Bool {
      guard let sources else { return true }
      return sources.contains { $0.contains(source) }
    }
  }
}
