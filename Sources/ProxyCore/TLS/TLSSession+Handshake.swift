/// The handshake of a session and its end: the verbs that begin and close a connection.

import COpenSSL

extension TLSSession {
  /// What the owner of a session has to do during the handshake.
  enum HandshakeOutcome: Equatable {
    /// The peer's identity is known. What is left in the input window is for `decrypt`.
    ///
    /// A client can't know yet whether the server accepts its certificate: a refusal arrives as an alert, in `decrypt`
    /// (RFC 8446 section 4.4.2.4 has the server look at it after its own Finished).
    case complete
    /// Everything was read; call again with what the peer sends next.
    case needsInput
    /// The output window is full; send it and call again with the same input.
    case needsOutput
    case failed(TLSFailure)
  }

  /// Goes on with the handshake as far as the windows allow.
  mutating func handshake(input: inout InputWindow, output: inout OutputWindow) -> HandshakeOutcome {
    let outcome = drive(&input, &output) { session -> HandshakeOutcome in
      let result = SSL_do_handshake(session.ssl)
      if result == 1 { return .complete }
      switch SSL_get_error(session.ssl, result) {
      case SSL_ERROR_WANT_READ: return .needsInput
      case SSL_ERROR_WANT_WRITE: return .needsOutput
      // close_notify, after which libssl has no error to tell.
      case SSL_ERROR_ZERO_RETURN: return .failed(.peerAlert)
      default: return .failed(session.failure())
      }
    }
    // libssl demands a certificate from every peer, so this can't be; but no peer without a name goes past this line.
    if outcome == .complete, peer == nil { return .failed(.certificateMissing) }
    return outcome
  }

  /// Tells the peer that nothing more will come (RFC 8446 section 6.1). The other direction lives on: `decrypt` works until
  /// the peer closes as well. Returns false when the output window has no room for it: send it and call again.
  mutating func closeNotify(output: inout OutputWindow) -> Bool {
    guard !closeNotifySent else { return true }
    guard output.room >= Self.alertSize else { return false }
    // SSL_shutdown(3) refuses to work before the handshake is over; there is no half-close to announce then.
    guard SSL_is_init_finished(ssl) == 1 else { return true }
    var input = InputWindow()
    drive(&input, &output) { session in
      // Called once only: a second call would read, and throw away what it reads.
      if SSL_shutdown(session.ssl) < 0 { _ = session.failure() }
    }
    closeNotifySent = true
    return true
  }

  /// A sealed alert: two bytes and the record's overhead. Nothing else is written by `closeNotify`.
  private static var alertSize: Int { 2 + recordOverhead }
}
