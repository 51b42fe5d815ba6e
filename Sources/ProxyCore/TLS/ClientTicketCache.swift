/// The session tickets that servers gave to this worker's outbound connections. A new client session takes one from here,
/// and libssl's new-session callback puts those in that arrive.

import COpenSSL

/// Where a ticket may be used again: the same destination, as long as the same peers are expected there.
///
/// Whom a mesh rule expects is part of the key, so that a reload of the rules leaves no tickets that would be offered in vain.
/// It proves nothing: whoever resumes is held to the rule like any other peer.
struct TicketKey: Equatable {
  let destination: SocketAddress
  /// See `MeshRules.expectation`.
  let expectation: UInt32

  /// A spread of the key over 64 bits. Not secret: destinations are chosen by the pod's own app.
  fileprivate var spread: UInt64 {
    let bits = destination.ip.bits
    var mixed = UInt64(truncatingIfNeeded: bits) ^ UInt64(truncatingIfNeeded: bits >> 64)
    mixed ^= UInt64(destination.port) << 32 | UInt64(expectation)
    mixed &*= 0x9e37_79b9_7f4a_7c15
    return mixed >> 32
  }
}

/// A bounded set of tickets, each used at most once (RFC 8446 appendix C.4), valid within one `TLSContext.resumptionScope`.
///
/// Every connection that resumes with a ticket receives a new one, so as many are needed as connections to one
/// destination are opened at the same time. Used by one worker, so it needs no lock.
struct ClientTicketCache: ~Copyable {
  private let slots: UnsafeMutablePointer<Slot>
  private(set) var scope = Fingerprint()

  /// What a client session needs to resume. The receiver owns both references.
  struct Ticket {
    let session: OpaquePointer
    let identity: PeerIdentity
  }

  init() {
    slots = .allocate(capacity: Self.slotCount)
    slots.initialize(repeating: Slot(), count: Self.slotCount)
  }

  deinit {
    for index in 0..<Self.slotCount { slots[index].clear() }
    slots.deallocate()
  }

  /// Forgets everything unless the tickets were obtained within this scope.
  mutating func use(scope: Fingerprint) {
    guard scope != self.scope else { return }
    for index in 0..<Self.slotCount { slots[index].clear() }
    self.scope = scope
  }

  /// Takes a ticket for `key` out of the cache. Those that are too old, or whose server's certificate has expired
  /// since, are dropped on the way.
  mutating func take(_ key: TicketKey, now: Int64) -> Ticket? {
    let first = Self.firstSlot(of: key)
    for index in first..<first + Self.ways {
      guard slots[index].key == key, let session = slots[index].session, let identity = slots[index].identity else {
        continue
      }
      let age = now - slots[index].storedAt
      if identity.notAfter > now, age >= 0, age < TLSContext.ticketLifetime {
        slots[index] = Slot()
        return Ticket(session: session, identity: identity)
      }
      slots[index].clear()
    }
    return nil
  }

  /// Stores a ticket; the cache takes over the reference to `session` and makes its own to `identity`. A full set gives
  /// up its oldest ticket.
  mutating func put(_ key: TicketKey, session: OpaquePointer, identity: PeerIdentity, now: Int64) {
    let first = Self.firstSlot(of: key)
    var target = first
    for index in first..<first + Self.ways {
      if slots[index].session == nil {
        target = index
        break
      }
      if slots[index].storedAt < slots[target].storedAt { target = index }
    }
    slots[target].clear()
    slots[target] = Slot(key: key, session: session, identity: identity.retain(), storedAt: now)
  }

  private static func firstSlot(of key: TicketKey) -> Int {
    Int(key.spread % UInt64(slotCount / ways)) * ways
  }

  /// Connections that can be opened to one destination at the same time with a ticket each.
  private static let ways = 64

  /// The longest ticket that is kept, in bytes. A sidecar's has 32; those of other servers hold the session, with our leaf in
  /// it, sealed. A server may send 16 KiB, which would make a large cache and a hello that is larger than what sends it.
  static let ticketSizeMax = 4096

  /// A ticket is 1 to 2 KiB in libssl's memory, so that a full cache is about 1 MiB.
  private static let slotCount = 512

  private struct Slot {
    var key: TicketKey?
    var session: OpaquePointer?
    var identity: PeerIdentity?
    var storedAt: Int64 = 0

    mutating func clear() {
      if let session { SSL_SESSION_free(session) }
      identity?.release()
      self = Slot()
    }
  }
}
