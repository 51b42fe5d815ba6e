// Who the demo's sidecars are: a certificate authority that lives as long as the demo, and an SVID for each side.

import ProxyCore

struct DemoIdentities {
  static let clientID = "spiffe://demo.local/ns/demo/sa/client"
  static let serverID = "spiffe://demo.local/ns/demo/sa/server"

  let client: PEMIdentity
  let server: PEMIdentity

  init() throws(StartError) {
    do throws(DevelopmentCertificateError) {
      let now = Int64(Clocks.wallNanoseconds / 1_000_000_000)
      let authority = try DevelopmentAuthority(trustDomain: "demo.local", now: now)
      client = try DemoIdentities.issue(DemoIdentities.clientID, by: authority, now: now)
      server = try DemoIdentities.issue(DemoIdentities.serverID, by: authority, now: now)
    } catch {
      throw StartError("demo: can't make certificates: \(error)")
    }
  }

  private static func issue(
    _ id: String, by authority: borrowing DevelopmentAuthority, now: Int64
  ) throws(DevelopmentCertificateError) -> PEMIdentity {
    guard let id = try? SPIFFEID(id) else { preconditionFailure("\(id) is no SPIFFE ID") }
    // A day: nobody watches the numbers for longer, and nothing renews them.
    let identity = try authority.issue(id, now: now, lifetime: 86_400)
    return PEMIdentity(
      certificate: identity.certificatePEM, privateKey: identity.privateKeyPEM, trustBundle: authority.certificatePEM)
  }
}
