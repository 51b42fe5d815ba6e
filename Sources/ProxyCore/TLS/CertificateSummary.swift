/// What operators see of a certificate: `GET /certificates`, `validate` and the expiry metric are made of it.

import COpenSSL
import Glibc

/// The facts of one certificate as plain values.
public struct CertificateSummary: Sendable, Equatable {
  /// The subject's name in the form of RFC 2253; empty when it has none.
  public let subject: String
  /// The issuer's name in the same form.
  public let issuer: String
  /// The serial number in hexadecimal digits.
  public let serialNumber: String
  /// The SPIFFE ID of a leaf that is an SVID; nil for others.
  public let id: SPIFFEID?
  /// Unix seconds.
  public let notBefore: Int64
  /// Unix seconds; what `sidecar_certificate_not_after_timestamp_seconds` says.
  public let notAfter: Int64
  /// The public key's algorithm and its size in bits, such as `EC 256`.
  public let key: String
  /// The SHA-256 of the DER form in hexadecimal digits.
  public let sha256: String

  init(_ certificate: OpaquePointer) {
    subject = Self.text(of: X509_get_subject_name(certificate))
    issuer = Self.text(of: X509_get_issuer_name(certificate))
    serialNumber = Self.hexadecimal(X509_get0_serialNumber(certificate))
    var id: SPIFFEID?
    _ = X509SVID.checkLeaf(certificate) { id = try? SPIFFEID(String(decoding: $0, as: UTF8.self)) }
    self.id = id
    notBefore = X509SVID.notBefore(certificate)
    notAfter = X509SVID.notAfter(certificate)
    if let key = X509_get0_pubkey(certificate) {
      let name = EVP_PKEY_get0_type_name(key).map { String(cString: $0) } ?? "unknown"
      self.key = "\(name) \(EVP_PKEY_get_bits(key))"
    } else {
      key = "unknown"
    }
    sha256 = withUnsafeTemporaryAllocation(byteCount: Fingerprint.size, alignment: 8) { bytes in
      X509SVID.fingerprint(of: certificate).copy(to: bytes.baseAddress!)
      return Self.hexadecimal(UnsafeRawBufferPointer(bytes))
    }
    ERR_clear_error()
  }

  /// The first and the last moment of its validity in the form of RFC 3339.
  public var validity: (notBefore: String, notAfter: String) {
    (TLSMaterialError.date(notBefore), TLSMaterialError.date(notAfter))
  }

  private static func text(of name: OpaquePointer?) -> String {
    guard let name, let bio = BIO_new(BIO_s_mem()) else { return "" }
    defer { BIO_free(bio) }
    X509_NAME_print_ex(bio, name, 0, shim_XN_FLAG_RFC2253)
    var start: UnsafeMutablePointer<CChar>?
    let count = shim_BIO_get_mem_data(bio, &start)
    return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
  }

  private static func hexadecimal(_ number: UnsafePointer<ASN1_INTEGER>?) -> String {
    hexadecimal(UnsafeRawBufferPointer(start: ASN1_STRING_get0_data(number), count: Int(ASN1_STRING_length(number))))
  }

  private static func hexadecimal(_ bytes: UnsafeRawBufferPointer) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
    return String(decoding: text, as: UTF8.self)
  }
}
