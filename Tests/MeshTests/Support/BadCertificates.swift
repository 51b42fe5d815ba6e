// Certificates that are bad in one way each, and the name of the reason for which everybody must refuse them.

import Testing

@testable import ProxyCore

struct BadCertificate: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// The label `result` of sidecar_tls_handshakes_total, and `detail` in the access log.
  let reason: String
  /// Gets the authority that the sidecar trusts and the SPIFFE ID that would be right.
  let issue: @Sendable (Authority, String) throws -> Credentials

  private init(
    _ name: String, _ reason: String, issue: @escaping @Sendable (Authority, String) throws -> Credentials
  ) {
    (testDescription, self.reason, self.issue) = (name, reason, issue)
  }

  private init(_ name: String, _ reason: String, bend: @escaping @Sendable (inout CertificateTemplate) -> Void) {
    self.init(name, reason, issue: { try $0.issue($1, bend) })
  }

  static let all = [
    BadCertificate("another CA's", "certificate_untrusted") { try Authority().issue($1) },
    BadCertificate("self-signed", "certificate_untrusted") { try Authority.selfSigned($1) },
    BadCertificate("with another certificate's key", "bad_signature") { try $0.issue($1).withForeignKey() },
    BadCertificate("expired", "certificate_expired", bend: { $0.notAfter = Authority.now - 10 }),
    BadCertificate("not yet valid", "certificate_not_yet_valid", bend: { $0.notBefore = Authority.now + 3_000 }),
    BadCertificate("without a URI", "certificate_no_uri", bend: { $0.uris = [] }),
    BadCertificate(
      "with a DNS name only", "certificate_no_uri", bend: { ($0.uris, $0.dnsNames) = ([], ["cluster.local"]) }),
    BadCertificate("with two URIs", "certificate_several_uris", bend: { $0.uris.append("spiffe://cluster.local/x") }),
    BadCertificate(
      "with a URI that isn't SPIFFE", "certificate_uri_not_spiffe", bend: { $0.uris = ["https://cluster.local/x"] }),
    BadCertificate(
      "with a zero byte in its URI", "certificate_uri_not_spiffe", bend: { $0.uris[0] += "\0/x" }),
    BadCertificate(
      "with a SPIFFE ID without a path", "certificate_no_path", bend: { $0.uris = ["spiffe://cluster.local"] }),
    BadCertificate("a CA's", "certificate_is_ca", bend: { $0.isCA = true }),
    BadCertificate("that may not sign", "certificate_usage", bend: { $0.keyUsage = "keyAgreement" }),
    BadCertificate("for mail", "certificate_usage", bend: { $0.extendedKeyUsage = "emailProtection" }),
  ]

  /// Good for a server, and for nothing else.
  static let serverOnly = BadCertificate(
    "for servers only", "certificate_usage", bend: { $0.extendedKeyUsage = "serverAuth" })
  /// Good for a client, and for nothing else.
  static let clientOnly = BadCertificate(
    "for clients only", "certificate_usage", bend: { $0.extendedKeyUsage = "clientAuth" })
}
