// The certificates of these tests: a trust domain's authority, and the good and bad SVIDs that it issues.

import COpenSSL
import Glibc

@testable import ProxyCore

/// A certificate and its private key in PEM.
struct Credentials: Sendable {
  var certificate: [UInt8]
  var privateKey: [UInt8]

  /// The same certificate with a key that isn't its own: one bit of the private number is another, while the public
  /// point beside it still is the certificate's, so that libssl takes the pair for a fitting one.
  func withForeignKey() throws -> Credentials {
    var der = try PEM.decode(privateKey)
    der[Self.privateNumber.upperBound - 1] ^= 1
    return Credentials(certificate: certificate, privateKey: PEM.encode(der, label: "PRIVATE KEY"))
  }

  /// Where the private number is in the key's DER: PKCS #8 around RFC 5915, for P-256.
  static let privateNumber = 36..<68
}

/// A certificate authority for tests.
///
/// `@unchecked Sendable`: issuing only reads the authority's certificate and key, which libcrypto allows from any thread.
final class Authority: @unchecked Sendable {
  static let clientID = "spiffe://cluster.local/ns/web/sa/frontend"
  static let serverID = "spiffe://cluster.local/ns/db/sa/postgres"

  /// The certificate that peers must chain to, in PEM.
  let bundle: [UInt8]
  private let authority: DevelopmentAuthority

  init(trustDomain: String = "cluster.local") throws {
    authority = try DevelopmentAuthority(trustDomain: trustDomain, now: Self.now)
    bundle = authority.certificatePEM
  }

  /// A proper SVID, spoiled by `bend`.
  func issue(
    _ id: String = Authority.clientID, _ bend: (inout CertificateTemplate) -> Void = { _ in }
  ) throws -> Credentials {
    let issued = try authority.issue(Self.template(id, bend))
    return Credentials(certificate: issued.certificatePEM, privateKey: issued.privateKeyPEM)
  }

  /// A proper SVID that names a host as well, for clients that look for one.
  func issue(_ id: String, dnsName: String) throws -> Credentials { try issue(id) { $0.dnsNames = [dnsName] } }

  /// A certificate that nobody vouches for but itself.
  static func selfSigned(_ id: String = Authority.clientID) throws -> Credentials {
    guard let key = shim_EVP_EC_gen("P-256") else { throw DevelopmentCertificateError.openssl("no key") }
    defer { EVP_PKEY_free(key) }
    let certificate = try template(id) { _ in }.sign(subjectKey: key, issuer: nil, issuerKey: key)
    defer { X509_free(certificate) }
    return Credentials(
      certificate: PEM.text { PEM_write_bio_X509($0, certificate) },
      privateKey: PEM.text { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) })
  }

  private static func template(_ id: String, _ bend: (inout CertificateTemplate) -> Void) -> CertificateTemplate {
    var template = CertificateTemplate(commonName: "workload", now: now, lifetime: 3_600)
    template.uris = [id]
    bend(&template)
    return template
  }

  /// Unix seconds.
  static var now: Int64 { Int64(time(nil)) }
}

/// PEM, as far as tests need it (RFC 7468).
enum PEM {
  /// The bytes of the first block.
  static func decode(_ pem: [UInt8]) throws -> [UInt8] {
    let lines = String(decoding: pem, as: UTF8.self).split(separator: "\n")
    let base64 = Array(lines.filter { !$0.hasPrefix("-----") }.joined().utf8)
    var result = [UInt8](repeating: 0, count: base64.count / 4 * 3)
    guard EVP_DecodeBlock(&result, base64, Int32(base64.count)) == result.count else {
      throw DevelopmentCertificateError.openssl("not PEM")
    }
    // EVP_DecodeBlock(3) counts the padding as bytes.
    return result.dropLast(base64.reversed().prefix { $0 == UInt8(ascii: "=") }.count)
  }

  static func encode(_ der: [UInt8], label: String) -> [UInt8] {
    var base64 = [UInt8](repeating: 0, count: (der.count + 2) / 3 * 4 + 1)
    EVP_EncodeBlock(&base64, der, Int32(der.count))
    var lines = ["-----BEGIN \(label)-----"]
    var rest = base64.dropLast()
    while !rest.isEmpty {
      lines.append(String(decoding: rest.prefix(64), as: UTF8.self))
      rest = rest.dropFirst(64)
    }
    return Array((lines + ["-----END \(label)-----", ""]).joined(separator: "\n").utf8)
  }

  /// What `write` puts into a BIO.
  static func text(_ write: (OpaquePointer?) -> Int32) -> [UInt8] {
    let bio = BIO_new(BIO_s_mem())
    defer { BIO_free(bio) }
    precondition(write(bio) == 1, "libcrypto can't write PEM")
    var bytes = [UInt8](repeating: 0, count: Int(BIO_ctrl_pending(bio)))
    BIO_read(bio, &bytes, Int32(bytes.count))
    return bytes
  }
}
