// Certificates for tests: one CA with a server and a client, made once, and helpers to make others.

import Glibc

@testable import ProxyCore

/// The tests' wall clock. It is the real one, because libssl dates its tickets by the real one; it never moves in a test
/// unless the test moves it.
let testNow = Int64(time(nil))

/// A trust domain with a CA and two workloads.
struct Mesh {
  let server: TLSContext
  let client: TLSContext
  let bundle: [UInt8]

  static let serverID = "spiffe://cluster.local/ns/db/sa/postgres"
  static let clientID = "spiffe://cluster.local/ns/web/sa/frontend"

  init(_ authority: borrowing DevelopmentAuthority) throws {
    bundle = authority.certificatePEM
    server = try Self.context(authority, Self.serverID, bundle: bundle)
    client = try Self.context(authority, Self.clientID, bundle: bundle)
  }

  init() throws {
    let authority = try Self.authority()
    try self.init(authority)
  }

  static func authority() throws -> DevelopmentAuthority {
    try DevelopmentAuthority(trustDomain: "cluster.local", now: testNow)
  }

  static func context(
    _ authority: borrowing DevelopmentAuthority, _ id: String, bundle: [UInt8],
    alpn: String = Configuration.Identity.alpnDefault, replacing previous: TLSContext? = nil, now: Int64 = testNow
  ) throws -> TLSContext {
    let identity = try authority.issue(SPIFFEID(id), now: now)
    return try TLSContext.make(identity, trustBundlePEM: bundle, alpn: alpn, now: now, replacing: previous)
  }
}
