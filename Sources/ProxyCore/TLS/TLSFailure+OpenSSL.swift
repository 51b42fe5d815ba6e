/// How libssl's errors become a `TLSFailure`. `TLSSession` empties the thread's error queue through here after every
/// call that failed, so that nothing is left for the next connection of the same worker to trip over.

import COpenSSL

extension TLSFailure {
  /// Empties the calling thread's error queue and names the reason in it.
  ///
  /// The first entry that says something about the peer wins: libssl queues the cause before its consequences.
  static func drainErrorQueue() -> TLSFailure {
    var failure: TLSFailure?
    var cameFromProtocol = false
    while case let error = ERR_get_error(), error != 0 {
      if ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE { failure = .outOfMemory }
      guard ERR_GET_LIB(error) == ERR_LIB_SSL else { continue }
      cameFromProtocol = true
      if failure == nil { failure = TLSFailure(sslReason: ERR_GET_REASON(error)) }
    }
    // What libssl complains about without a name of ours is a message that it could not make sense of; an error of
    // libcrypto alone (a point off the curve goes through libssl as well) is not the peer's doing.
    return failure ?? (cameFromProtocol ? .malformedMessage : .internalError)
  }

  /// The failure that one of libssl's reason codes stands for; nil for codes that say nothing about the peer.
  private init?(sslReason: Int32) {
    switch sslReason {
    case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
      self = .plainHTTP
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_UNKNOWN_PROTOCOL:
      self = .notTLS
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_WRONG_SSL_VERSION, SSL_R_BAD_LEGACY_VERSION,
      SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_INAPPROPRIATE_FALLBACK:
      self = .protocolVersion
    case SSL_R_NO_SHARED_CIPHER, SSL_R_UNKNOWN_CIPHER_RETURNED, SSL_R_WRONG_CIPHER_RETURNED:
      self = .noCommonCipher
    case SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_GROUPS, SSL_R_WRONG_CURVE:
      self = .noCommonGroup
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
      self = .noCommonSignature
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, SSL_R_NO_CERTIFICATES_RETURNED:
      self = .certificateMissing
    case SSL_R_CERTIFICATE_VERIFY_FAILED, SSL_R_UNKNOWN_CERTIFICATE_TYPE, SSL_R_CERT_LENGTH_MISMATCH:
      self = .certificateInvalid
    case SSL_R_BAD_SIGNATURE, SSL_R_WRONG_SIGNATURE_TYPE, SSL_R_DIGEST_CHECK_FAILED, SSL_R_BINDER_DOES_NOT_VERIFY:
      self = .badSignature
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED:
      self = .badRecordMAC
    case SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_ENCRYPTED_LENGTH_TOO_LONG, SSL_R_DATA_LENGTH_TOO_LONG,
      SSL_R_EXCESSIVE_MESSAGE_SIZE, SSL_R_EXCEEDS_MAX_FRAGMENT_SIZE:
      self = .recordTooLarge
    case SSL_R_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_RECORD, SSL_R_APP_DATA_IN_HANDSHAKE,
      SSL_R_UNEXPECTED_CCS_MESSAGE, SSL_R_CCS_RECEIVED_EARLY, SSL_R_BAD_RECORD_TYPE, SSL_R_NO_RENEGOTIATION,
      SSL_R_MIXED_HANDSHAKE_AND_NON_HANDSHAKE_DATA, SSL_R_NOT_ON_RECORD_BOUNDARY,
      SSL_R_APPLICATION_DATA_AFTER_CLOSE_NOTIFY, SSL_R_TOO_MANY_WARN_ALERTS, SSL_R_TOO_MANY_KEY_UPDATES,
      SSL_R_TOO_MUCH_EARLY_DATA:
      self = .unexpectedMessage
    case Self.alertOffset..<Self.alertOffset + 256:
      self = Self.forAlert(sslReason - Self.alertOffset)
    default:
      return nil
    }
  }

  /// What an alert of the peer's (RFC 8446 section 6.2) says about us.
  static func forAlert(_ alert: Int32) -> TLSFailure {
    switch alert {
    case SSL_AD_BAD_CERTIFICATE, SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_CERTIFICATE_REVOKED,
      SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_UNKNOWN_CA, SSL_AD_CERTIFICATE_REQUIRED,
      SSL_AD_ACCESS_DENIED:
      .peerRefusedCertificate
    case SSL_AD_HANDSHAKE_FAILURE, SSL_AD_PROTOCOL_VERSION, SSL_AD_INSUFFICIENT_SECURITY,
      SSL_AD_NO_APPLICATION_PROTOCOL, SSL_AD_MISSING_EXTENSION, SSL_AD_UNSUPPORTED_EXTENSION,
      SSL_AD_UNRECOGNIZED_NAME:
      .peerRefusedHandshake
    default:
      .peerAlert
    }
  }

  /// libssl reports an alert that it received as this number plus the alert's own.
  private static var alertOffset: Int32 { SSL_AD_REASON_OFFSET }

  /// The failure that an X509_V_ERR code of X509_verify_cert(3) stands for.
  init(verificationError: Int32) {
    switch verificationError {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      self = .certificateExpired
    case X509_V_ERR_CERT_NOT_YET_VALID:
      self = .certificateNotYetValid
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
      X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED:
      self = .certificateUntrusted
    case X509_V_ERR_INVALID_PURPOSE, X509_V_ERR_CERT_REJECTED:
      self = .certificateUsage
    case X509_V_ERR_OUT_OF_MEM:
      self = .outOfMemory
    default:
      self = .certificateInvalid
    }
  }

  /// The X509_V_ERR code from which libssl picks the alert that tells the peer what we hold against its certificate.
  var verificationError: Int32 {
    switch self {
    case .certificateExpired: X509_V_ERR_CERT_HAS_EXPIRED
    case .certificateNotYetValid: X509_V_ERR_CERT_NOT_YET_VALID
    case .certificateUntrusted: X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    case .certificateUsage, .certificateIsCA: X509_V_ERR_INVALID_PURPOSE
    case .outOfMemory: X509_V_ERR_OUT_OF_MEM
    default: X509_V_ERR_CERT_REJECTED
    }
  }
}
