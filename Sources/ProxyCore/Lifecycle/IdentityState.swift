// What the life cycle knows of its identity: the state that others read, and two small machines without I/O that tell
// the control thread when to look at the files and at the clock again.

/// The identity in use, and what became of attempts to replace it.
struct IdentityState: Sendable {
  /// Nil while nothing uses TLS.
  var context: TLSContext?
  var reloads = Proxy.ReloadCounts()
  /// Nil until the first attempt after the start.
  var lastReload: IdentityReload?
}

/// How an attempt to load the identity again ended.
public struct IdentityReload: Sendable {
  /// Nanoseconds since 1970.
  public var at: UInt64
  /// Nil: the new identity is in use.
  public var failure: String?
}

/// Puts off the judgement on files that can't be loaded, because whoever writes a certificate and then its key leaves a
/// pair that doesn't fit in between. Files that go on changing are looked at after each change anyway; once they are
/// quiet there is one more look, whose verdict counts. Times are monotonic nanoseconds.
struct ReloadPatience: Equatable, Sendable {
  /// From the last look to the one that counts: writers need milliseconds, a fetch between two files perhaps more.
  static let pauseNanoseconds: UInt64 = 1_000_000_000
  /// Files that never fit although they change all the time are reported after this while.
  static let patienceNanoseconds: UInt64 = 5_000_000_000

  /// When to look again although nothing has changed.
  private(set) var deadline: UInt64?
  private var firstFailureAt: UInt64?

  /// The files could not be loaded.
  /// - Returns: whether that is the verdict; else `deadline` says when to look again.
  mutating func failed(now: UInt64, isLastLook: Bool) -> Bool {
    let first = firstFailureAt ?? now
    guard !isLastLook, now - first < Self.patienceNanoseconds else {
      settle()
      return true
    }
    firstFailureAt = first
    deadline = now + Self.pauseNanoseconds
    return false
  }

  /// The files were refused for what time will mend: an issuer whose clock is ahead of ours. They may not change again
  /// before the identity in use has expired.
  mutating func lookAgain(at time: UInt64) { deadline = time }

  /// The files were loaded, or refused for good.
  mutating func settle() { self = ReloadPatience() }

  /// - Returns: whether it is time for the look that counts; once.
  mutating func fire(now: UInt64) -> Bool {
    guard let deadline, now >= deadline else { return false }
    self.deadline = nil
    return true
  }
}

/// Follows the life of our own certificates. Times are Unix seconds, since that is what certificates are dated by.
struct CertificateExpiry: Equatable, Sendable {
  enum Event: Equatable, Sendable {
    /// Time to renew is running out.
    case nearing
    case expired
  }

  let notAfter: Int64
  /// A quarter of the lifetime before the end. The issuers in use renew earlier (SPIRE with half of it left,
  /// cert-manager with a third), so that whoever gets this far has a renewal that doesn't work.
  let nearsAt: Int64
  private var told: Event?

  /// Of the chain, whichever certificate ends first counts.
  init?(_ chain: [CertificateSummary]) {
    guard let first = chain.min(by: { $0.notAfter < $1.notAfter }) else { return nil }
    self.init(notBefore: first.notBefore, notAfter: first.notAfter)
  }

  init(notBefore: Int64, notAfter: Int64) {
    self.notAfter = notAfter
    // Dates that can't be read are the beginning of time, so that the difference may be more than a number holds.
    let (lifetime, overflow) = notAfter.subtractingReportingOverflow(notBefore)
    nearsAt = overflow ? notAfter : notAfter - max(0, lifetime) / 4
  }

  /// When `advance` has news; nil: never again.
  var nextAt: Int64? {
    switch told {
    case nil: nearsAt
    case .nearing: notAfter
    case .expired: nil
    }
  }

  /// - Returns: what has become true since the last call, the worst of it.
  mutating func advance(now: Int64) -> Event? {
    let state: Event? = now >= notAfter ? .expired : now >= nearsAt ? .nearing : nil
    // A clock that was set back takes nothing back: what was said was said.
    guard let state, state != told, told != .expired else { return nil }
    told = state
    return state
  }
}
