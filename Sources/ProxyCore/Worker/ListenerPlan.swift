// What a worker needs to know about a listener, compiled from the configuration by the control thread.

/// Names a listener for the life of the process; below `WorkerMetrics.listenersMax`.
public struct ListenerID: Hashable, Sendable {
  public var rawValue: Int

  public init(rawValue: Int) { self.rawValue = rawValue }
}

/// One listener's rules. Replaced as a whole on reload. A connection that relays is left alone by new ones; one that is still
/// on its way to that is judged by those of the moment.
public struct ListenerPlan: Sendable {
  public enum Destination: Sendable {
    /// Tried in order; none while the target's name has not been resolved.
    case addresses([TargetAddress])
    /// SO_ORIGINAL_DST.
    case original
  }

  public var direction: Configuration.Listener.Direction
  public var bind: SocketAddress
  public var destination: Destination
  /// What an inbound listener does about TLS.
  public var tls: Configuration.Listener.TLS
  /// Who may connect.
  let authorization: AuthorizationPolicy
  /// Where an outbound listener originates TLS.
  let mesh: MeshRules

  /// Compiles a listener's rules. `destination` is the resolved form of its target.
  public init(_ listener: Configuration.Listener, destination: Destination) {
    direction = listener.direction
    bind = listener.bind
    self.destination = destination
    tls = listener.tls
    authorization = AuthorizationPolicy(listener.allow)
    mesh = MeshRules(listener.mesh)
  }
}

/// Limits and timeouts that all listeners share. Times are in nanoseconds; `.max` stands for never.
public struct WorkerSettings: Sendable {
  public var connectTimeout: UInt64
  public var handshakeTimeout: UInt64
  public var detectTimeout: UInt64
  public var idleTimeout: UInt64
  public var halfCloseTimeout: UInt64
  /// How many pipes the worker may have open.
  var pipesMax = Int.max

  public init(_ timeouts: Configuration.Timeouts) {
    connectTimeout = timeouts.connect.nanoseconds
    handshakeTimeout = timeouts.handshake.nanoseconds
    detectTimeout = timeouts.detect.nanoseconds
    idleTimeout = timeouts.idle?.nanoseconds ?? .max
    halfCloseTimeout = timeouts.halfClose?.nanoseconds ?? .max
  }
}
