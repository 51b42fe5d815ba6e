/// Why a TLS connection could not be set up or could not go on: the closed set that metrics use as a label and the access
/// log as a close reason. `TLSSession` returns it; `TLSFailure+OpenSSL.swift` derives it from libssl's error queue.

/// The reason that a TLS session failed. Every failure is final for its connection.
public enum TLSFailure: UInt8, Error, Sendable, CaseIterable {
  // The peer's first bytes.
  case plainHTTP
  case notTLS
  case protocolVersion
  case noCommonCipher
  case noCommonGroup
  case noCommonSignature

  // The peer's certificate.
  case certificateMissing
  case certificateUntrusted
  case certificateExpired
  case certificateNotYetValid
  case certificateInvalid
  case certificateUsage
  case certificateIsCA
  case certificateWithoutURI
  case certificateWithSeveralURIs
  case certificateURINotSPIFFE
  case certificateWithoutPath
  case badSignature

  // The record layer and the order of messages.
  case badRecordMAC
  case recordTooLarge
  case malformedMessage
  case unexpectedMessage

  // What the peer thinks of us.
  case peerRefusedCertificate
  case peerRefusedHandshake
  case peerAlert

  // Ourselves.
  case outOfMemory
  case internalError

  /// The value of the `result` label, in snake case as Prometheus wants it.
  public var label: StaticString { texts.label }

  /// What happened, in words for an operator, ready for a log line.
  public var explanation: StaticString { texts.explanation }

  private var texts: (label: StaticString, explanation: StaticString) {
    switch self {
    case .plainHTTP: ("plain_http", "the peer spoke plain HTTP to a TLS port")
    case .notTLS: ("not_tls", "the peer's first bytes are not TLS")
    case .protocolVersion: ("protocol_version", "the peer does not offer TLS 1.3")
    case .noCommonCipher: ("no_common_cipher", "the peer offers none of our TLS 1.3 ciphers")
    case .noCommonGroup: ("no_common_group", "the peer offers neither X25519 nor P-256")
    case .noCommonSignature: ("no_common_signature", "the peer accepts no signature that our key can make")
    case .certificateMissing: ("certificate_missing", "the peer presented no certificate")
    case .certificateUntrusted: ("certificate_untrusted", "the trust bundle does not vouch for the certificate")
    case .certificateExpired: ("certificate_expired", "a certificate of the chain has expired")
    case .certificateNotYetValid: ("certificate_not_yet_valid", "a certificate of the chain is not valid yet")
    case .certificateInvalid: ("certificate_invalid", "the certificate chain is malformed, badly signed or too weak")
    case .certificateUsage: ("certificate_usage", "the certificate's key usages don't allow this use in TLS")
    case .certificateIsCA: ("certificate_is_ca", "it is a CA certificate, which must not authenticate anybody")
    case .certificateWithoutURI: ("certificate_no_uri", "the certificate has no URI name, so no SPIFFE ID")
    case .certificateWithSeveralURIs: ("certificate_several_uris", "the certificate has more than one URI name")
    case .certificateURINotSPIFFE: ("certificate_uri_not_spiffe", "the certificate's URI name is not a valid SPIFFE ID")
    case .certificateWithoutPath: ("certificate_no_path", "the SPIFFE ID names a trust domain, not a workload")
    case .badSignature: ("bad_signature", "the peer did not prove that it holds its private key")
    case .badRecordMAC: ("bad_record_mac", "a record was changed on its way or sealed with another key")
    case .recordTooLarge: ("record_too_large", "the peer sent a record or a message over the protocol's limit")
    case .malformedMessage: ("malformed_message", "the peer sent a message that does not follow RFC 8446")
    case .unexpectedMessage: ("unexpected_message", "the peer sent a message out of turn")
    case .peerRefusedCertificate: ("peer_refused_certificate", "the peer refused our certificate")
    case .peerRefusedHandshake: ("peer_refused_handshake", "the peer refused the handshake")
    case .peerAlert: ("peer_alert", "the peer ended the session with an alert")
    case .outOfMemory: ("out_of_memory", "libssl could not allocate memory")
    case .internalError: ("internal_error", "libssl failed for a reason of its own")
    }
  }
}
