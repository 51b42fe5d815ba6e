// Who the demo's sidecars are: a certificate authority in memory that lives as long as the demo, and an SVID for each
// side.

import ProxyCore

struct DemoIdentities {
  static let clientID = "spiffe://demo.local/ns/demo/sa/client"
  static let serverID = "spiffe://demo.local/ns/demo/sa/server"

  let client: TLSContext
  let server: TLSContext

  init() throws(StartError) {
    do {
      let now = Clocks.wallSeconds
      let authority = try DevelopmentAuthority(trustDomain: "demo.local", now: now, lifetime: Self.lifetime)
      client = try Self.issue(Self.clientID, by: authority, now: now)
      server = try Self.issue(Self.serverID, by: authority, now: now)
    } catch {
      throw StartError("demo: can't make certificates: \(error)")
    }
  }

  private static func issue(_ id: String, by authority: borrowing DevelopmentAuthority, now: Int64) throws -> TLSContext
  {
    let identity = try authority.issue(SPIFFEID(id), now: now, lifetime: lifetime)
    return try TLSContext.make(identity, trustBundlePEM: authority.certificatePEM, now: now)
  }

  /// A week in seconds: nobody watches the numbers for longer, and nothing renews them.
  private static let lifetime: Int64 = 7 * 86_400
}
