/// What makes an X.509 certificate an SVID, by the SPIFFE standard "X509-SVID", sections 2 to 5. `PeerVerifier` asks for
/// peers' leaves, `TLSContext` for our own.

import COpenSSL
import Glibc

enum X509SVID {
  /// Checks the rules for a leaf and calls `body` with its SPIFFE ID, which is valid for the call.
  ///
  /// The chain, the signatures and the dates are somebody else's to check. Returns the rule that the leaf breaks, or nil.
  static func checkLeaf(_ certificate: OpaquePointer, body: (UnsafeRawBufferPointer) -> Void) -> TLSFailure? {
    let flags = X509_get_extension_flags(certificate)
    guard flags & UInt32(EXFLAG_INVALID) == 0 else { return .certificateInvalid }
    // A signing certificate must not authenticate anybody (section 3.2): whoever holds its key could be anybody.
    guard flags & UInt32(EXFLAG_CA) == 0 else { return .certificateIsCA }
    if flags & UInt32(EXFLAG_KUSAGE) != 0 {
      let usage = X509_get_key_usage(certificate)
      guard usage & UInt32(KU_KEY_CERT_SIGN | KU_CRL_SIGN) == 0 else { return .certificateIsCA }
      guard usage & UInt32(KU_DIGITAL_SIGNATURE) != 0 else { return .certificateUsage }
    }

    var critical: Int32 = 0
    guard let names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nil) else {
      // -1: there is no such extension. -2: there are several. 0 or 1: there is one, and it is malformed.
      return critical == -1 ? .certificateWithoutURI : .certificateInvalid
    }
    let list = OpaquePointer(names)
    defer { GENERAL_NAMES_free(list) }
    var uri: UnsafePointer<ASN1_IA5STRING>?
    for index in 0..<shim_GENERAL_NAMES_num(list) {
      guard let name = shim_GENERAL_NAME_get0_uri(shim_GENERAL_NAMES_value(list, index)) else { continue }
      guard uri == nil else { return .certificateWithSeveralURIs }
      uri = name
    }
    guard let uri else { return .certificateWithoutURI }
    let bytes = UnsafeRawBufferPointer(start: ASN1_STRING_get0_data(uri), count: Int(ASN1_STRING_length(uri)))
    switch SPIFFEID.check(bytes) {
    case .failure:
      return .certificateURINotSPIFFE
    case .success(let trustDomainEnd):
      guard trustDomainEnd < bytes.count else { return .certificateWithoutPath }
      body(bytes)
      return nil
    }
  }

  /// The digest of a certificate's DER form.
  static func fingerprint(of certificate: OpaquePointer) -> Fingerprint {
    let length = Int(i2d_X509(certificate, nil))
    guard length > 0 else { return Fingerprint() }
    return withUnsafeTemporaryAllocation(byteCount: length, alignment: 1) { encoded in
      var end = encoded.baseAddress?.assumingMemoryBound(to: UInt8.self)
      i2d_X509(certificate, &end)
      return digest(UnsafeRawBufferPointer(encoded))
    }
  }

  /// SHA-256.
  static func digest(_ bytes: UnsafeRawBufferPointer) -> Fingerprint {
    withUnsafeTemporaryAllocation(byteCount: Fingerprint.size, alignment: 8) { result in
      let out = result.baseAddress?.assumingMemoryBound(to: UInt8.self)
      var length: UInt32 = 0
      guard EVP_Digest(bytes.baseAddress, bytes.count, out, &length, sha256.algorithm, nil) == 1 else {
        return Fingerprint()
      }
      return Fingerprint(UnsafeRawBufferPointer(result))
    }
  }

  /// The first moment at which the certificate is no longer valid, in Unix seconds.
  static func notAfter(_ certificate: OpaquePointer) -> Int64 { unixTime(X509_get0_notAfter(certificate)) }

  /// The first moment at which the certificate is valid, in Unix seconds.
  static func notBefore(_ certificate: OpaquePointer) -> Int64 { unixTime(X509_get0_notBefore(certificate)) }

  /// A time out of a certificate in Unix seconds; the beginning of time when it can't be read, so that it counts as past.
  private static func unixTime(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
    var fields = tm()
    guard let time, ASN1_TIME_to_tm(time, &fields) == 1 else { return .min }
    return Int64(timegm(&fields))
  }

  /// SHA-256, looked up once: a lookup by name costs as much as the digest of a small certificate.
  private static let sha256 = Digest()

  private struct Digest: @unchecked Sendable {
    // An EVP_MD is immutable and may be shared between threads (EVP_MD_fetch(3)).
    let algorithm = EVP_MD_fetch(nil, "SHA256", nil)
  }
}
