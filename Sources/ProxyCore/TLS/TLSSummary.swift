/// What a completed handshake agreed on, for the access log: plain values that the worker copies into a record and the
/// log's thread turns into names.

/// A finished TLS handshake.
public struct TLSSummary: Sendable, Equatable {
  /// As on the wire: 0x0304 is TLS 1.3 (RFC 8446 section 4.1.2).
  public var version: UInt16
  /// As on the wire: 0x1301 is TLS_AES_128_GCM_SHA256 (RFC 8446 appendix B.4).
  public var cipherSuite: UInt16
  public var isResumed: Bool
  /// From the handshake's first bytes to its end.
  public var handshakeNanoseconds: UInt64

  public var versionName: String { version == 0x0304 ? "TLSv1.3" : "\(version)" }

  public var cipherName: String {
    switch cipherSuite {
    case 0x1301: "TLS_AES_128_GCM_SHA256"
    case 0x1302: "TLS_AES_256_GCM_SHA384"
    case 0x1303: "TLS_CHACHA20_POLY1305_SHA256"
    default: "\(cipherSuite)"
    }
  }
}

extension TLSConnection {
  /// Nil as long as the handshake has not completed: before that nothing is proved.
  var summary: TLSSummary? {
    guard handshakeCompletedAt != 0, let agreement = session.agreement else { return nil }
    return TLSSummary(
      version: agreement.version, cipherSuite: agreement.cipherSuite, isResumed: agreement.isResumed,
      handshakeNanoseconds: handshakeCompletedAt &- handshakeStartedAt)
  }
}
