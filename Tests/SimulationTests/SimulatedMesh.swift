// Who is who in a simulation with TLS: the proxy's identities, old and new, and those of its peers, good and bad.

import COpenSSL
import CSeededRandom
import KernelTestSupport

@testable import ProxyCore

/// The identities of one simulation, and what its peers share.
final class SimulatedMesh {
  /// What a party can prove.
  enum Credentials: CaseIterable {
    /// Nothing: it doesn't speak TLS.
    case none
    /// A workload that the rules with principals allow.
    case friend
    /// One that is vouched for, but that such rules don't name.
    case other
    /// One of another authority.
    case stranger

    /// Nil for a party that doesn't speak TLS.
    var principal: String? {
      switch self {
      case .none: nil
      case .friend, .stranger: "spiffe://cluster.local/ns/web/sa/frontend"
      case .other: "spiffe://cluster.local/ns/jobs/sa/nightly"
      }
    }
  }

  /// What rules with principals allow.
  static let friends = "spiffe://cluster.local/ns/web/**"
  private static let proxyPrincipal = "spiffe://cluster.local/ns/app/sa/app"

  private let contexts: [TLSContext]
  /// The proxy's, of which each rotation takes the next one.
  private let proxyContexts: [TLSContext]
  private var rotations = 0
  let engine: TLSEngine

  init() throws {
    let people = try Self.people.get()
    let now = Self.time
    contexts = try [
      people.friend.context(trusting: people.bundle), people.other.context(trusting: people.bundle),
      people.stranger.context(trusting: people.bundle + people.bundleElsewhere),
    ]
    let first = try people.proxy.context(trusting: people.bundle)
    let second = try people.proxyRenewed.context(trusting: people.bundle, replacing: first)
    proxyContexts = [first, second]
    engine = TLSEngine(now: now, sessionsMax: 64)
  }

  /// The world's wall clock at the start of a simulation; certificates hold for years around it.
  private static let time: Int64 = 1_700_001_000

  var proxy: TLSContext { proxyContexts[rotations % proxyContexts.count] }

  /// A new certificate takes the place of the old one.
  func rotate() -> TLSContext {
    rotations += 1
    return proxy
  }

  /// Nil for a party that doesn't speak TLS.
  func context(_ credentials: Credentials) -> TLSContext? {
    switch credentials {
    case .none: nil
    case .friend: contexts[0]
    case .other: contexts[1]
    case .stranger: contexts[2]
    }
  }

  /// Under which name a client's tickets are kept: each for its own credentials.
  func ticketKey(_ credentials: Credentials) -> TicketKey? {
    let index = Credentials.allCases.firstIndex(of: credentials) ?? 0
    return TicketKey(destination: SocketAddress(ip: IPAddress(v4: 1), port: 1), expectation: UInt32(index))
  }

  /// Makes the certificates, if they are not there yet: on random numbers of their own, which must not come in between
  /// those of a simulation.
  static func prepare() throws { _ = try people.get() }

  /// Runs something on libcrypto's seeded random numbers.
  static func seeded<Result>(_ seed: UInt64, _ body: () throws -> Result) rethrows -> Result {
    seeded_random_begin(seed)
    defer { seeded_random_end() }
    return try body()
  }

  // MARK: Certificates

  private struct Person {
    let identity: DevelopmentIdentity

    func context(trusting bundle: [UInt8], replacing previous: TLSContext? = nil) throws -> TLSContext {
      try .make(identity, trustBundlePEM: bundle, now: SimulatedMesh.time, replacing: previous)
    }
  }

  private struct People {
    let bundle: [UInt8]
    let bundleElsewhere: [UInt8]
    let proxy: Person
    let proxyRenewed: Person
    let friend: Person
    let other: Person
    let stranger: Person

    init() throws {
      let years: Int64 = 10 * 365 * 86_400
      let authority = try DevelopmentAuthority(trustDomain: "cluster.local", now: SimulatedMesh.time, lifetime: years)
      let elsewhere = try DevelopmentAuthority(trustDomain: "cluster.local", now: SimulatedMesh.time, lifetime: years)
      bundle = authority.certificatePEM
      bundleElsewhere = elsewhere.certificatePEM
      let issue = { (authority: borrowing DevelopmentAuthority, principal: String?) in
        // Only a party without TLS has none.
        Person(identity: try authority.issue(SPIFFEID(principal!), now: SimulatedMesh.time, lifetime: years))
      }
      proxy = try issue(authority, SimulatedMesh.proxyPrincipal)
      proxyRenewed = try issue(authority, SimulatedMesh.proxyPrincipal)
      friend = try issue(authority, Credentials.friend.principal)
      other = try issue(authority, Credentials.other.principal)
      stranger = try issue(elsewhere, Credentials.stranger.principal)
    }
  }

  /// The same certificates in every process: their sizes are part of what a seed replays.
  private static let people = Result { try seeded(0x5eed) { try People() } }
}
