/// Which leaf certificates a worker has verified already. `PeerVerifier` asks it at each handshake: a known leaf costs one
/// SHA-256 in place of two to four signature verifications (about 65 µs each) and a walk through the chain's extensions.

import COpenSSL

/// A set of verified leaves, bounded, and valid for one trust bundle. Used by one worker, so it needs no lock.
///
/// Only leaves that the bundle vouches for get in, so strangers can't fill it. When it is full, the slot that the new
/// leaf's digest picks is overwritten: the cache is two-way set-associative, and its memory never grows.
struct VerifiedLeafCache: ~Copyable {
  private let slots: UnsafeMutablePointer<Slot>
  /// The digest of the trust bundle that the entries were verified against.
  private var bundle = Fingerprint()

  init() {
    slots = .allocate(capacity: Self.slotCount)
    slots.initialize(repeating: Slot(), count: Self.slotCount)
  }

  deinit {
    for index in 0..<Self.slotCount { slots[index].clear() }
    slots.deallocate()
  }

  /// Forgets everything unless the entries were verified against this bundle.
  mutating func use(bundle: Fingerprint) {
    guard bundle != self.bundle else { return }
    for index in 0..<Self.slotCount { slots[index].clear() }
    self.bundle = bundle
  }

  /// The certificate and the identity of a leaf that was verified for a peer in this role and has not expired. The cache
  /// keeps its references: callers that hold on to either make their own.
  func find(_ fingerprint: Fingerprint, peerRole: TLSRole, now: Int64) -> (certificate: OpaquePointer, PeerIdentity)? {
    for way in 0..<Self.ways {
      let slot = slots[Self.set(of: fingerprint) + way]
      guard let certificate = slot.certificate, let identity = slot.identity, identity.fingerprint == fingerprint,
        slot.peerRole == peerRole
      else { continue }
      return identity.notAfter > now ? (certificate, identity) : nil
    }
    return nil
  }

  /// The identity of any verified leaf with this digest, whatever its role was.
  func identity(of fingerprint: Fingerprint) -> PeerIdentity? {
    for way in 0..<Self.ways {
      if let identity = slots[Self.set(of: fingerprint) + way].identity, identity.fingerprint == fingerprint {
        return identity
      }
    }
    return nil
  }

  /// Remembers a leaf that was just verified; the cache takes references of its own.
  mutating func insert(_ certificate: OpaquePointer, identity: PeerIdentity, peerRole: TLSRole) {
    let set = Self.set(of: identity.fingerprint)
    // The newest entry goes into the first way, the one it replaces moves to the second: the least recent one goes.
    slots[set + 1].clear()
    slots[set + 1] = slots[set]
    X509_up_ref(certificate)
    slots[set] = Slot(certificate: certificate, identity: identity.retain(), peerRole: peerRole)
  }

  private static func set(of fingerprint: Fingerprint) -> Int {
    (Int(truncatingIfNeeded: fingerprint.prefix) & (slotCount / ways - 1)) * ways
  }

  private static let ways = 2

  /// A sidecar talks to some dozens of identities, each in one or two roles; 256 leaves of about 4 KiB each bound the
  /// memory at 1 MiB when a whole mesh passes by.
  private static let slotCount = 256

  private struct Slot {
    var certificate: OpaquePointer?
    var identity: PeerIdentity?
    var peerRole = TLSRole.client

    mutating func clear() {
      if let certificate { X509_free(certificate) }
      identity?.release()
      self = Slot()
    }
  }
}

/// Which end of a TLS connection somebody is.
enum TLSRole: UInt8, Sendable {
  case client
  case server
}
