/// A throw-away certificate authority and the SVIDs that it issues: `dev-certs` writes them to a directory, `demo` and the
/// tests use them from memory. Not for production: the keys lie about in memory and on disk.

import COpenSSL
import Glibc

/// A CA for one trust domain, with a P-256 key of its own that is never written anywhere.
public struct DevelopmentAuthority: ~Copyable {
  /// The trust bundle: the CA's certificate in PEM.
  public let certificatePEM: [UInt8]
  private let certificate: OpaquePointer
  private let key: OpaquePointer

  /// A new CA with a random key, valid from a minute before `now` (Unix seconds) for `lifetime` seconds.
  public init(trustDomain: String, now: Int64, lifetime: Int64 = 86_400) throws(DevelopmentCertificateError) {
    let id: SPIFFEID
    do { id = try SPIFFEID("spiffe://\(trustDomain)") } catch { throw .invalidTrustDomain(trustDomain, error) }
    var template = CertificateTemplate(commonName: "Development CA of \(trustDomain)", now: now, lifetime: lifetime)
    template.uris = [id.uri]
    template.isCA = true
    template.extendedKeyUsage = nil
    try self.init(template)
  }

  /// A CA by a template, which the tests bend.
  init(_ template: CertificateTemplate) throws(DevelopmentCertificateError) {
    let key = try DevelopmentKey()
    self.init(certificate: try template.sign(subjectKey: key.pointer, issuer: nil, issuerKey: key.pointer), key: key)
  }

  deinit {
    X509_free(certificate)
    EVP_PKEY_free(key)
  }

  /// An SVID for `id` with a new key, valid from a minute before `now` (Unix seconds) for `lifetime` seconds.
  public borrowing func issue(
    _ id: SPIFFEID, now: Int64, lifetime: Int64 = 3600
  ) throws(DevelopmentCertificateError) -> DevelopmentIdentity {
    var template = CertificateTemplate(commonName: nil, now: now, lifetime: lifetime)
    template.uris = [id.uri]
    return try issue(template)
  }

  /// A certificate by a template, which the tests bend.
  borrowing func issue(_ template: CertificateTemplate) throws(DevelopmentCertificateError) -> DevelopmentIdentity {
    let subjectKey = try DevelopmentKey()
    let leaf = try template.sign(subjectKey: subjectKey.pointer, issuer: certificate, issuerKey: key)
    defer { X509_free(leaf) }
    return DevelopmentIdentity(
      certificatePEM: pemText { PEM_write_bio_X509($0, leaf) },
      privateKeyPEM: pemText { PEM_write_bio_PrivateKey($0, subjectKey.pointer, nil, nil, 0, nil, nil) })
  }

  /// A subordinate CA by a template, which the tests use to make chains.
  borrowing func issueAuthority(
    _ template: CertificateTemplate
  ) throws(DevelopmentCertificateError) -> DevelopmentAuthority {
    let subjectKey = try DevelopmentKey()
    let subordinate = try template.sign(subjectKey: subjectKey.pointer, issuer: certificate, issuerKey: key)
    return DevelopmentAuthority(certificate: subordinate, key: subjectKey)
  }

  private init(certificate: OpaquePointer, key: borrowing DevelopmentKey) {
    self.certificate = certificate
    EVP_PKEY_up_ref(key.pointer)
    self.key = key.pointer
    certificatePEM = pemText { PEM_write_bio_X509($0, certificate) }
  }
}

/// A leaf certificate and its private key in PEM.
public struct DevelopmentIdentity: Sendable {
  public let certificatePEM: [UInt8]
  public let privateKeyPEM: [UInt8]
}

/// Why certificates could not be made.
public enum DevelopmentCertificateError: Error, Sendable, Equatable, CustomStringConvertible {
  case invalidTrustDomain(String, SPIFFEID.Violation)
  /// libcrypto's words.
  case openssl(String)
  /// The path and the errno of the system call that failed.
  case unwritable(String, Int32)

  public var description: String {
    switch self {
    case .invalidTrustDomain(let name, let violation):
      "the trust domain \"\(name)\" is no good: its SPIFFE ID \(violation)"
    case .openssl(let words):
      "OpenSSL could not make the certificate: \(words)"
    case .unwritable(let path, let code):
      "\(path): can't be written: \(String(cString: strerror(code)))"
    }
  }
}

/// What goes into a certificate. The defaults make a proper X.509-SVID leaf.
struct CertificateTemplate {
  var commonName: String?
  /// Unix seconds.
  var notBefore: Int64
  /// Unix seconds.
  var notAfter: Int64
  var uris: [String] = []
  var dnsNames: [String] = []
  var isCA = false
  /// In the words of x509v3_config(5); nil leaves the extension out.
  var keyUsage: String?
  var extendedKeyUsage: String? = "serverAuth,clientAuth"

  /// Valid from a minute before `now`, so that machines whose clocks differ a little agree.
  init(commonName: String?, now: Int64, lifetime: Int64) {
    self.commonName = commonName
    notBefore = now - 60
    notAfter = now + lifetime
  }

  /// Makes and signs the certificate, which the caller frees; without an issuer it signs itself.
  func sign(
    subjectKey: OpaquePointer, issuer: OpaquePointer?, issuerKey: OpaquePointer
  ) throws(DevelopmentCertificateError) -> OpaquePointer {
    guard let certificate = X509_new() else { throw .openssl("out of memory") }
    guard fill(certificate, subjectKey: subjectKey, issuer: issuer),
      X509_sign(certificate, issuerKey, EVP_sha256()) > 0
    else {
      X509_free(certificate)
      throw .openssl(TLSMaterialError.opensslReason())
    }
    return certificate
  }

  private func fill(_ certificate: OpaquePointer, subjectKey: OpaquePointer, issuer: OpaquePointer?) -> Bool {
    X509_set_version(certificate, Int(X509_VERSION_3))
    // From libcrypto, like all else that is random in a certificate. 63 bits that are not zero (RFC 5280 section 4.1.2.2).
    var serialNumber: UInt64 = 0
    guard withUnsafeMutableBytes(of: &serialNumber, { RAND_bytes($0.baseAddress, Int32($0.count)) }) == 1 else {
      return false
    }
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serialNumber >> 1 | 1)
    ASN1_TIME_set(X509_getm_notBefore(certificate), time_t(notBefore))
    ASN1_TIME_set(X509_getm_notAfter(certificate), time_t(notAfter))
    if let commonName {
      let subject = X509_get_subject_name(certificate)
      guard X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, commonName, -1, -1, 0) == 1 else { return false }
    }
    let authority = issuer ?? certificate
    guard X509_set_issuer_name(certificate, X509_get_subject_name(authority)) == 1,
      X509_set_pubkey(certificate, subjectKey) == 1
    else { return false }

    var context = X509V3_CTX()
    X509V3_set_ctx(&context, authority, certificate, nil, nil, 0)
    let usage = keyUsage ?? (isCA ? "keyCertSign,cRLSign" : "digitalSignature")
    var extensions: [(Int32, String)] = [
      (NID_basic_constraints, isCA ? "critical,CA:TRUE" : "critical,CA:FALSE"),
      (NID_key_usage, "critical,\(usage)"),
      (NID_subject_key_identifier, "hash"),
    ]
    if issuer != nil { extensions.append((NID_authority_key_identifier, "keyid")) }
    if let extendedKeyUsage { extensions.append((NID_ext_key_usage, extendedKeyUsage)) }
    for (kind, value) in extensions {
      guard let made = X509V3_EXT_conf_nid(nil, &context, kind, value) else { return false }
      defer { X509_EXTENSION_free(made) }
      guard X509_add_ext(certificate, made, -1) == 1 else { return false }
    }
    return addNames(to: certificate)
  }

  /// Adds the subject alternative names; critical when there is no other subject (RFC 5280 section 4.2.1.6).
  private func addNames(to certificate: OpaquePointer) -> Bool {
    guard !uris.isEmpty || !dnsNames.isEmpty else { return true }
    guard let names = shim_GENERAL_NAMES_new() else { return false }
    defer { GENERAL_NAMES_free(names) }
    for (kind, text) in uris.map({ (GEN_URI, $0) }) + dnsNames.map({ (GEN_DNS, $0) }) {
      guard let name = GENERAL_NAME_new(), let value = ASN1_STRING_type_new(V_ASN1_IA5STRING) else { return false }
      let bytes = Array(text.utf8)
      ASN1_STRING_set(value, bytes, Int32(bytes.count))
      GENERAL_NAME_set0_value(name, kind, value)
      _ = shim_GENERAL_NAMES_push(names, name)
    }
    let critical: Int32 = commonName == nil ? 1 : 0
    return X509_add1_ext_i2d(
      certificate, NID_subject_alt_name, UnsafeMutableRawPointer(names), critical, UInt(X509V3_ADD_DEFAULT)) == 1
  }
}

/// A new P-256 key.
private struct DevelopmentKey: ~Copyable {
  let pointer: OpaquePointer

  init() throws(DevelopmentCertificateError) {
    guard let pointer = shim_EVP_EC_gen("P-256") else { throw .openssl(TLSMaterialError.opensslReason()) }
    self.pointer = pointer
  }

  deinit { EVP_PKEY_free(pointer) }
}

/// What `write` puts into a BIO.
private func pemText(_ write: (OpaquePointer) -> Int32) -> [UInt8] {
  guard let bio = BIO_new(BIO_s_mem()) else { fatalError("out of memory for a BIO") }
  defer { BIO_free(bio) }
  guard write(bio) == 1 else { fatalError("out of memory for PEM text") }
  var start: UnsafeMutablePointer<CChar>?
  let count = shim_BIO_get_mem_data(bio, &start)
  return Array(UnsafeRawBufferPointer(start: start, count: count))
}
