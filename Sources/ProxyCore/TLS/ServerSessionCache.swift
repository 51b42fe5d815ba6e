/// The sessions that clients may resume: what stands behind the tickets that our listeners give out. All workers share one,
/// and a new `TLSContext` takes it over from the one before as long as the trust bundle and our own name
/// are the same.

import COpenSSL
import Glibc

/// A bounded set of libssl's sessions by their IDs.
///
/// A ticket is only the ID of a session in here, and not the session itself, sealed. That costs memory, but a sealed session
/// carries the peer's certificate, which libssl decodes twice for each resumption: both ends of a resumed handshake took
/// 721 µs of CPU together with sealed tickets and 349 µs with these under libssl 3.0, 476 and 316 µs under 3.5, and a full
/// handshake, which seals one as well, 1,112 and 973 µs, 817 and 781 µs. There are no ticket keys to rotate or to steal
/// either, and dropping the cache revokes all tickets.
///
/// Workers share it under a lock, which each handshake takes once or twice for some comparisons and no system call.
final class ServerSessionCache: @unchecked Sendable {
  // Everything behind the pointers is only touched while the lock is held.
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let slots: UnsafeMutablePointer<Slot>

  init() {
    lock = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    slots = .allocate(capacity: Self.slotCount)
    slots.initialize(repeating: Slot(), count: Self.slotCount)
  }

  deinit {
    for index in 0..<Self.slotCount {
      if let session = slots[index].session { SSL_SESSION_free(session) }
    }
    slots.deallocate()
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  /// Stores a session, whose reference the cache takes over, in place of the oldest of its set. `now` is in Unix seconds.
  func put(_ session: OpaquePointer, now: Int64) {
    guard let id = Self.id(of: session) else {
      SSL_SESSION_free(session)
      return
    }
    pthread_mutex_lock(lock)
    let set = Self.set(of: id)
    var target = set
    for index in set..<set + Self.ways where slots[index].storedAt < slots[target].storedAt { target = index }
    let replaced = slots[target].session
    slots[target] = Slot(id: id, session: session, storedAt: now)
    pthread_mutex_unlock(lock)
    if let replaced { SSL_SESSION_free(replaced) }
  }

  /// The session with this ID and a reference of the caller's own; nil when it isn't there (any more).
  func find(_ id: Fingerprint) -> OpaquePointer? {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    let set = Self.set(of: id)
    for index in set..<set + Self.ways {
      guard let session = slots[index].session, slots[index].id == id else { continue }
      SSL_SESSION_up_ref(session)
      return session
    }
    return nil
  }

  /// A session's ID as a plain value: 32 random bytes, which compare like a digest.
  private static func id(of session: OpaquePointer) -> Fingerprint? {
    var length: UInt32 = 0
    guard let start = SSL_SESSION_get_id(session, &length), Int(length) == Fingerprint.size else { return nil }
    return Fingerprint(UnsafeRawBufferPointer(start: start, count: Fingerprint.size))
  }

  private static func set(of id: Fingerprint) -> Int {
    (Int(truncatingIfNeeded: id.prefix) & (slotCount / ways - 1)) * ways
  }

  private static let ways = 4

  /// A session is about 1 KiB, so that a full cache is 2 MiB. Clients that reconnect at once find theirs; one that comes back
  /// later, after 2,048 others, makes a full handshake.
  private static let slotCount = 2048

  private struct Slot {
    var id = Fingerprint()
    var session: OpaquePointer?
    var storedAt = Int64.min
  }
}
