/// Session resumption: what goes into a ticket, what is checked when it comes back, and how ticket keys are handed on. libssl
/// calls these while a session is driven.

import COpenSSL
import Glibc

extension TLSContext {
  /// Has the server issue one ticket per connection, bound to the trust bundle, with our own data in it.
  func setUpTickets() {
    shim_SSL_CTX_set_session_cache_mode(server, Int(SSL_SESS_CACHE_OFF))
    SSL_CTX_set_num_tickets(server, 1)
    SSL_CTX_set_timeout(server, Int(Self.ticketLifetime))
    SSL_CTX_set_session_ticket_cb(server, sealTicket, openTicket, nil)
    // A ticket resumes only where this value is the same, so a ticket can't outlive the bundle that vouched for its
    // holder, even if its keys were to.
    withUnsafeTemporaryAllocation(byteCount: Fingerprint.size, alignment: 8) { value in
      bundleFingerprint.copy(to: value.baseAddress!)
      SSL_CTX_set_session_id_context(
        server, value.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(Fingerprint.size))
    }
  }

  /// Copies the keys that seal tickets from one SSL_CTX to another; false when libssl doesn't let us.
  static func copyTicketKeys(_ source: OpaquePointer, _ destination: OpaquePointer) -> Bool {
    // Asked without a buffer, libssl answers the size of its keys.
    let size = Int(shim_SSL_CTX_get_tlsext_ticket_keys(source, nil, 0))
    guard size > 0 else { return false }
    return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { keys in
      defer { OPENSSL_cleanse(keys.baseAddress, size) }
      return shim_SSL_CTX_get_tlsext_ticket_keys(source, keys.baseAddress, size) == 1
        && shim_SSL_CTX_set_tlsext_ticket_keys(destination, keys.baseAddress, size) == 1
    }
  }
}

/// Our own data in a ticket, in front of the SPIFFE ID's bytes. Tickets are opened by this process alone, so the layout is
/// the machine's own.
private struct TicketHeader {
  /// Unix seconds, by the engine's clock.
  let issuedAt: Int64
  /// When the holder's identity expires, in Unix seconds.
  let notAfter: Int64
  let fingerprint: Fingerprint
}

/// Puts the client's identity into the ticket that libssl is about to seal. See SSL_CTX_set_session_ticket_cb(3).
private func sealTicket(_ ssl: OpaquePointer?, _ argument: UnsafeMutableRawPointer?) -> Int32 {
  let state = WindowBIO.state(of: ssl)
  guard let peer = state.pointee.peer else { return 0 }
  let uri = peer.uri
  let headerSize = MemoryLayout<TicketHeader>.stride
  return withUnsafeTemporaryAllocation(byteCount: headerSize + uri.count, alignment: 8) { data in
    let header = TicketHeader(
      issuedAt: state.pointee.now, notAfter: peer.notAfter, fingerprint: peer.fingerprint)
    data.storeBytes(of: header, as: TicketHeader.self)
    UnsafeMutableRawBufferPointer(rebasing: data[headerSize...]).copyMemory(from: uri)
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.baseAddress, data.count)
  }
}

/// Decides whether a ticket that came back is still good; if not, the handshake is a full one. The worker runs its policy on
/// the identity afterwards, as after any handshake. See SSL_CTX_set_session_ticket_cb(3).
private func openTicket(
  _ ssl: OpaquePointer?, _ session: OpaquePointer?, _ keyName: UnsafePointer<UInt8>?, _ keyNameLength: Int,
  _ status: SSL_TICKET_STATUS, _ argument: UnsafeMutableRawPointer?
) -> SSL_TICKET_RETURN {
  guard status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW, let session else {
    return SSL_TICKET_RETURN_IGNORE_RENEW
  }
  let state = WindowBIO.state(of: ssl)
  var data: UnsafeMutableRawPointer?
  var count = 0
  let headerSize = MemoryLayout<TicketHeader>.stride
  guard SSL_SESSION_get0_ticket_appdata(session, &data, &count) == 1, let data, count > headerSize else {
    return SSL_TICKET_RETURN_IGNORE_RENEW
  }
  let header = data.loadUnaligned(as: TicketHeader.self)
  let age = state.pointee.now - header.issuedAt
  guard header.notAfter > state.pointee.now, age >= 0, age < TLSContext.ticketLifetime else {
    return SSL_TICKET_RETURN_IGNORE_RENEW
  }
  state.pointee.peer?.release()
  if let known = state.pointee.verifiedLeaves.identity(of: header.fingerprint), known.notAfter == header.notAfter {
    state.pointee.peer = known.retain()
  } else {
    let uri = UnsafeRawBufferPointer(start: data + headerSize, count: count - headerSize)
    state.pointee.peer = PeerIdentity(uri: uri, fingerprint: header.fingerprint, notAfter: header.notAfter)
  }
  return SSL_TICKET_RETURN_USE_RENEW
}

/// Keeps a ticket that a server has sent. Returning 1 takes the reference over. See SSL_CTX_sess_set_new_cb(3).
func storeTicket(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> Int32 {
  let state = WindowBIO.state(of: ssl)
  guard let session, let key = state.pointee.ticketKey, let peer = state.pointee.peer,
    SSL_SESSION_is_resumable(session) == 1
  else { return 0 }
  state.pointee.tickets.put(key, session: session, identity: peer, now: state.pointee.now)
  return 1
}
