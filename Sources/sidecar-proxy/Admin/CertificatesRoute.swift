// `GET /certificates`: who the proxy is, whom it trusts, and what became of the last attempt to change that. Public
// facts of certificates only: the private key never leaves libcrypto.

import ProxyCore

extension RouteTable {
  static func certificates(_ proxy: Proxy) -> HTTPResponse {
    let identity = proxy.identity
    return .json { json in
      json.object { json in
        json.key("spiffe_id")
        json.value(identity?.id.uri)
        for (key, list) in [("chain", identity?.chain ?? []), ("trust_bundle", identity?.bundle ?? [])] {
          json.key(key)
          json.array { json in
            for certificate in list { json.object { write(certificate, into: &$0) } }
          }
        }
        json.key("last_reload")
        write(proxy.lastIdentityReload, into: &json)
      }
    }
  }

  private static func write(_ certificate: CertificateSummary, into json: inout JSONWriter) {
    json.member("subject", certificate.subject)
    json.member("issuer", certificate.issuer)
    json.key("spiffe_id")
    json.value(certificate.id?.uri)
    json.member("serial_number", certificate.serialNumber)
    json.member("not_before", certificate.validity.notBefore)
    json.member("not_after", certificate.validity.notAfter)
    json.member("key", certificate.key)
    json.member("sha256", certificate.sha256)
  }

  /// Null as long as the identity is the one of the start.
  private static func write(_ reload: IdentityReload?, into json: inout JSONWriter) {
    guard let reload else { return json.null() }
    json.object { json in
      json.key("time")
      json.value(wallNanoseconds: reload.at)
      json.member("result", reload.failure == nil ? "success" : "failure")
      json.key("failure")
      json.value(reload.failure)
    }
  }
}
