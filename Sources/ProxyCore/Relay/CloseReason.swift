// Why a connection ended: one closed set for the metric and the access log alike, each case a side, a phase and a
// cause. Operators alert on these names, so that a case is never renamed.

/// The one reason for which a connection ended.
public enum CloseReason: UInt8, CaseIterable, Sendable {
  /// Both directions ended cleanly; the downstream's FIN came first.
  case downstreamClosed
  /// Both directions ended cleanly; the upstream's FIN came first.
  case upstreamClosed
  /// The downstream sent a reset, or vanished.
  case downstreamReset
  /// The upstream sent a reset, or vanished.
  case upstreamReset
  /// Nothing listens at the target: ECONNREFUSED, or a Unix socket that isn't there.
  case connectRefused
  /// No address of the target answered within `timeouts.connect`.
  case connectTimeout
  /// There is no route to the target.
  case connectUnreachable
  /// Connecting failed in another way; the access log has the errno.
  case connectFailed
  /// The target's name has no address.
  case resolveFailed
  /// The original destination is this proxy itself, or there is none because nothing redirected the connection.
  case connectLoop
  /// No descriptor was left for the upstream socket.
  case descriptorsExhausted
  /// The TLS handshake failed; the access log and `sidecar_tls_handshakes_total` say how.
  case tlsHandshakeFailed
  /// The TLS handshake was not over within `timeouts.handshake`.
  case handshakeTimeout
  /// Too many handshakes were in progress, or too many clients said nothing, and this one had to go.
  case handshakeLimit
  /// TLS failed after the handshake: a bad record, or an alert.
  case tlsFailed
  /// The encrypted side sent a FIN without close_notify: what came may be cut short.
  case tlsTruncated
  /// The policy does not allow this peer; the access log and `sidecar_authorization_denied_total` say why.
  case denied
  /// The upstream proved an identity that the mesh rule does not expect.
  case upstreamIdentityUnexpected
  /// No byte in either direction for `timeouts.idle`.
  case idleTimeout
  /// One direction had ended, and the other carried nothing for `timeouts.halfClose`.
  case halfCloseTimeout
  /// Still open at `drain.deadline`.
  case drainDeadline
  /// Still open when the proxy was told to stop at once.
  case shutdown

  /// The name in metrics and logs.
  public var label: String {
    switch self {
    case .downstreamClosed: "downstream_closed"
    case .upstreamClosed: "upstream_closed"
    case .downstreamReset: "downstream_reset"
    case .upstreamReset: "upstream_reset"
    case .connectRefused: "connect_refused"
    case .connectTimeout: "connect_timeout"
    case .connectUnreachable: "connect_unreachable"
    case .connectFailed: "connect_failed"
    case .resolveFailed: "resolve_failed"
    case .connectLoop: "connect_loop"
    case .descriptorsExhausted: "descriptors_exhausted"
    case .tlsHandshakeFailed: "tls_handshake_failed"
    case .handshakeTimeout: "handshake_timeout"
    case .handshakeLimit: "handshake_limit"
    case .tlsFailed: "tls_failed"
    case .tlsTruncated: "tls_truncated"
    case .denied: "denied"
    case .upstreamIdentityUnexpected: "upstream_identity_unexpected"
    case .idleTimeout: "idle_timeout"
    case .halfCloseTimeout: "half_close_timeout"
    case .drainDeadline: "drain_deadline"
    case .shutdown: "shutdown"
    }
  }
}
