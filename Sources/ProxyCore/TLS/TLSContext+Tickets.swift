/// Session resumption: what is remembered of a session, what is checked when its ticket comes back, and where clients keep
/// their tickets. libssl calls these while a session is driven.

import COpenSSL
import Glibc

extension TLSContext {
  /// Has the server issue one ticket per connection, which names a session in our own cache.
  func setUpTickets() {
    // In TLS 1.3, "no ticket" means one that holds a session's ID in place of the session (SSL_CTX_set_options(3)).
    SSL_CTX_set_options(server, shim_SSL_OP_NO_TICKET)
    shim_SSL_CTX_set_session_cache_mode(server, Int(SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL))
    SSL_CTX_sess_set_new_cb(server, storeServerSession)
    SSL_CTX_sess_set_get_cb(server, findServerSession)
    SSL_CTX_set_num_tickets(server, 1)
    SSL_CTX_set_timeout(server, Int(Self.ticketLifetime))
    SSL_CTX_set_session_ticket_cb(server, describePeer, nil, nil)
    // A session resumes only where this value is the same, so that none can outlive the bundle that vouched for its peer,
    // whatever becomes of the cache.
    withUnsafeTemporaryAllocation(byteCount: Fingerprint.size, alignment: 8) { value in
      resumptionScope.copy(to: value.baseAddress!)
      SSL_CTX_set_session_id_context(
        server, value.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(Fingerprint.size))
    }
  }

  static func resumptionScope(_ bundle: Fingerprint, _ id: SPIFFEID) -> Fingerprint {
    var bytes = [UInt8](repeating: 0, count: Fingerprint.size)
    bytes.withUnsafeMutableBytes { bundle.copy(to: $0.baseAddress!) }
    bytes += id.uri.utf8
    return bytes.withUnsafeBytes(X509SVID.digest)
  }

  /// The context that a session was made of, for callbacks that are told nothing else.
  fileprivate static func of(_ ssl: OpaquePointer?) -> TLSContext {
    guard let context = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0) else {
      preconditionFailure("an SSL_CTX without its TLSContext")
    }
    return Unmanaged.fromOpaque(context).takeUnretainedValue()
  }
}

/// What we remember with a session, in front of the SPIFFE ID's bytes. It never leaves the process, so the layout is the
/// machine's own.
private struct PeerRecord {
  /// Unix seconds, by the engine's clock.
  let issuedAt: Int64
  /// When the peer's identity expires, in Unix seconds.
  let notAfter: Int64
  let fingerprint: Fingerprint
}

/// Writes the client's identity into the session whose ticket is about to go out. See SSL_CTX_set_session_ticket_cb(3).
private func describePeer(_ ssl: OpaquePointer?, _ argument: UnsafeMutableRawPointer?) -> Int32 {
  let state = WindowBIO.state(of: ssl)
  guard let peer = state.pointee.peer else { return 0 }
  let uri = peer.uri
  let headerSize = MemoryLayout<PeerRecord>.stride
  return withUnsafeTemporaryAllocation(byteCount: headerSize + uri.count, alignment: 8) { data in
    let record = PeerRecord(issuedAt: state.pointee.now, notAfter: peer.notAfter, fingerprint: peer.fingerprint)
    data.storeBytes(of: record, as: PeerRecord.self)
    UnsafeMutableRawBufferPointer(rebasing: data[headerSize...]).copyMemory(from: uri)
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.baseAddress, data.count)
  }
}

/// Keeps a session that a ticket was made for. Returning 1 takes the reference over. See SSL_CTX_sess_set_new_cb(3).
private func storeServerSession(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> Int32 {
  guard let session else { return 0 }
  TLSContext.of(ssl).serverSessions.put(session, now: WindowBIO.state(of: ssl).pointee.now)
  return 1
}

/// Finds the session that a client's ticket names and decides whether it is still good; if not, the handshake is a full one.
/// The worker runs its policy on the identity afterwards, as after any handshake. See SSL_CTX_sess_set_get_cb(3).
private func findServerSession(
  _ ssl: OpaquePointer?, _ id: UnsafePointer<UInt8>?, _ idLength: Int32, _ makeReference: UnsafeMutablePointer<Int32>?
) -> OpaquePointer? {
  guard let id, Int(idLength) == Fingerprint.size,
    let session = TLSContext.of(ssl).serverSessions.find(
      Fingerprint(UnsafeRawBufferPointer(start: id, count: Fingerprint.size)))
  else { return nil }
  guard let peer = recallPeer(of: session, WindowBIO.state(of: ssl)) else {
    SSL_SESSION_free(session)
    return nil
  }
  let state = WindowBIO.state(of: ssl)
  state.pointee.peer?.release()
  state.pointee.peer = peer
  // The reference that `find` has made is the one that libssl gets.
  makeReference?.pointee = 0
  return session
}

/// The identity that was remembered with a session, and a count of it for the caller; nil when it holds no longer.
private func recallPeer(of session: OpaquePointer, _ state: UnsafeMutablePointer<TLSEngine.State>) -> PeerIdentity? {
  var data: UnsafeMutableRawPointer?
  var count = 0
  let headerSize = MemoryLayout<PeerRecord>.stride
  guard SSL_SESSION_get0_ticket_appdata(session, &data, &count) == 1, let data, count > headerSize else { return nil }
  let record = data.loadUnaligned(as: PeerRecord.self)
  let age = state.pointee.now - record.issuedAt
  guard record.notAfter > state.pointee.now, age >= 0, age < TLSContext.ticketLifetime else { return nil }
  if let known = state.pointee.verifiedLeaves.identity(of: record.fingerprint), known.notAfter == record.notAfter {
    return known.retain()
  }
  let uri = UnsafeRawBufferPointer(start: data + headerSize, count: count - headerSize)
  return PeerIdentity(uri: uri, fingerprint: record.fingerprint, notAfter: record.notAfter)
}

/// Keeps a ticket that a server has sent us. Returning 1 takes the reference over. See SSL_CTX_sess_set_new_cb(3).
func storeClientTicket(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> Int32 {
  let state = WindowBIO.state(of: ssl)
  state.pointee.ticketHasCome = true
  var size = 0
  if let session { SSL_SESSION_get0_ticket(session, nil, &size) }
  // A ticket may come long after the handshake, when the worker's new connections have another bundle or another name.
  guard let session, let key = state.pointee.ticketKey, let peer = state.pointee.peer,
    state.pointee.tickets.scope == TLSContext.of(ssl).resumptionScope, size <= ClientTicketCache.ticketSizeMax,
    SSL_SESSION_is_resumable(session) == 1
  else { return 0 }
  state.pointee.tickets.put(key, session: session, identity: peer, now: state.pointee.now)
  return 1
}
