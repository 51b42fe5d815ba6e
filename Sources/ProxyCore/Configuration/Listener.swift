/// A listener and its rules, as `listeners[]` describes them. Workers bind it; the policy reads `allow` and `mesh`.

extension Configuration {
  /// A port that the proxy accepts connections on, and what becomes of them.
  public struct Listener: Sendable, Equatable {
    /// Whose connections these are.
    public enum Direction: String, Sendable, Hashable, CaseIterable {
      /// From other pods to the app beside this sidecar.
      case inbound
      /// From the app beside this sidecar to the world.
      case outbound
    }

    /// What an inbound listener does about TLS. An outbound listener takes the app's own traffic in the clear and is
    /// always `off`; its mesh rules say where TLS is originated.
    public enum TLS: String, Sendable, Hashable, CaseIterable {
      /// Bytes pass through unread.
      case off
      /// A ClientHello that offers the mesh's ALPN is terminated, everything else passes through unread.
      case permissive
      /// Mutual TLS or nothing.
      case strict
    }

    /// 1…32 characters out of a–z, 0–9 and `-`; unique, since it is a label of the metrics.
    public var name: String
    public var direction: Direction
    public var bind: SocketAddress
    public var target: Target
    /// In a file, an inbound listener that doesn't say is `strict` when there is an identity and `off` when there is
    /// none: whoever hands the sidecar a certificate doesn't expect it to accept strangers in the clear.
    public var tls: TLS
    /// Who may connect to an inbound listener. Nil: any peer (under TLS: any that the trust bundle vouches for). Empty:
    /// nobody. Otherwise a peer needs one rule that matches it.
    public var allow: [AllowRule]?
    /// Where an outbound listener originates TLS. The first rule that matches wins; no match passes in the clear.
    public var mesh: [MeshRule]

    public init(
      name: String, direction: Direction, bind: SocketAddress, target: Target, tls: TLS = .off,
      allow: [AllowRule]? = nil, mesh: [MeshRule] = []
    ) {
      self.name = name
      self.direction = direction
      self.bind = bind
      self.target = target
      self.tls = tls
      self.allow = allow
      self.mesh = mesh
    }
  }

  /// A set of conditions that a peer of an inbound listener meets all at once. At least one is there.
  public struct AllowRule: Sendable, Equatable {
    /// Patterns for the peer's SPIFFE ID (see `PrincipalPattern`); nil: any principal, or none.
    public var principals: [String]?
    /// The app's ports that the peer may reach; nil: every port.
    public var ports: [UInt16]?
    /// Where the peer may connect from; nil: everywhere.
    public var sources: [CIDR]?

    public init(principals: [String]? = nil, ports: [UInt16]? = nil, sources: [CIDR]? = nil) {
      self.principals = principals
      self.ports = ports
      self.sources = sources
    }
  }

  /// What to do about TLS towards some destinations of an outbound listener.
  public struct MeshRule: Sendable, Equatable {
    public enum TLS: String, Sendable, Hashable, CaseIterable {
      /// Bytes pass through unread.
      case off
      /// Mutual TLS or no connection at all.
      case strict
    }

    /// Nil: every destination.
    public var destinations: [CIDR]?
    /// Nil: every port.
    public var ports: [UInt16]?
    public var tls: TLS
    /// Patterns for the SPIFFE ID that the other side must prove (see `PrincipalPattern`); nil: any that the trust
    /// bundle vouches for.
    public var principals: [String]?

    public init(
      destinations: [CIDR]? = nil, ports: [UInt16]? = nil, tls: TLS = .strict, principals: [String]? = nil
    ) {
      self.destinations = destinations
      self.ports = ports
      self.tls = tls
      self.principals = principals
    }
  }
}
