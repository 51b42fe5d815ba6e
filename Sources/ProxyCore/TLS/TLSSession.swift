/// One connection's TLS, without I/O: bytes in, bytes out. The worker makes one when a connection turns out to be TLS,
/// feeds it what the kernel received and sends what it wrote. The verbs are in `TLSSession+Handshake.swift` and
/// `TLSSession+Records.swift`.

import COpenSSL

/// A TLS 1.3 session over the windows of a `TLSEngine`.
///
/// Every verb takes the windows that it may read and write, moves their cursors, and returns what its owner has to do
/// next. Whatever the outcome, the owner sends the bytes that are in `output`: a failure leaves the alert there that tells
/// the peer.
///
/// libssl shakes hands. As soon as it has nothing left to do it hands over to our own `RecordLayer` and is freed: a server
/// when the handshake is complete and the ticket is written, a client when the ticket has come, or the first application
/// data without one. Until then, and for good in the rare cases that `TLSSession+Library.swift` names, libssl goes on with
/// the records as well. It reads no more ciphertext than the record that it is working on (its read-ahead stays off), so
/// that it can stop between any two records.
///
/// Used by one thread, the one whose engine it was made with. It may be moved: nothing points to it.
struct TLSSession: ~Copyable {
  // The first member is no optional: swiftc 6.3 breaks on that when it instruments for ThreadSanitizer.
  let engine: UnsafeMutablePointer<TLSEngine.State>
  /// libssl's part; nil once it has handed over.
  var ssl: OpaquePointer?
  /// Keeps the certificates and keys that the session began with; others may have taken their place for new sessions.
  private let context: Unmanaged<TLSContext>
  /// Where tickets for this destination are kept; nil for a server, or when nothing is to be resumed.
  let ticketKey: TicketKey?
  let role: TLSRole
  /// Our part, which learns its secrets while libssl shakes hands.
  let records: UnsafeMutablePointer<RecordLayer>
  /// What has come of a client's hello.
  private var hello = HelloBound()
  /// How far libssl has come with records under the application keys.
  var library = LibraryProgress()

  /// Whom the peer has proved to be; set at the latest when the handshake completes. The session owns the count.
  private(set) var peer: PeerIdentity?
  /// What the handshake agreed on; nil until it is complete.
  var agreement: Agreement?
  var closeNotifySent = false
  /// Whether an end of input would be a clean one: the peer has said that it sends nothing more (RFC 8446 section 6.1).
  /// Without that, a FIN may be an attacker's, and what was received may be cut short.
  var endOfInputIsClean = false

  /// What a complete handshake agreed on.
  struct Agreement {
    /// As on the wire: 0x0304 is TLS 1.3 (RFC 8446 section 4.1.2).
    let version: UInt16
    /// As on the wire: 0x1301 is TLS_AES_128_GCM_SHA256 (RFC 8446 appendix B.4).
    let cipherSuite: UInt16
    /// Whether it was a resumption, so that no certificate was exchanged.
    let isResumed: Bool
    /// Whether both sides settled on the ALPN protocol of our context; a foreign peer may have none or another one.
    let isMeshProtocol: Bool
  }

  /// A new session; nil when memory is short.
  ///
  /// A client that is given a ticket key resumes an earlier session when the engine has a ticket for it.
  init?(_ context: TLSContext, role: TLSRole, engine: borrowing TLSEngine, ticketKey: TicketKey? = nil) {
    guard let ssl = SSL_new(role == .server ? context.server : context.client) else {
      ERR_clear_error()
      return nil
    }
    self.ssl = ssl
    self.engine = engine.state
    self.context = Unmanaged.passRetained(context)
    self.role = role
    self.ticketKey = role == .client ? ticketKey : nil
    records = RecordLayer.make(role)
    // One reference is what SSL_set_bio(3) takes when both directions are the same BIO.
    BIO_up_ref(engine.state.pointee.bio)
    SSL_set_bio(ssl, engine.state.pointee.bio, engine.state.pointee.bio)
    switch role {
    case .server: SSL_set_accept_state(ssl)
    case .client: SSL_set_connect_state(ssl)
    }
    if let key = self.ticketKey { resume(with: key, scope: context.resumptionScope) }
  }

  deinit {
    peer?.release()
    Self.free(ssl)
    RecordLayer.destroy(records, &engine.pointee.partials)
    context.release()
  }

  /// Frees libssl's part, if it is still there.
  static func free(_ ssl: OpaquePointer?) {
    guard let ssl else { return }
    // Without this, SSL_free(3) spoils the newest ticket for others when the connection was not closed in both directions;
    // in TLS 1.3 how a connection ended says nothing about its tickets.
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    SSL_free(ssl)
  }

  /// Hands the engine's ticket for `key`, if it has one, to libssl.
  private mutating func resume(with key: TicketKey, scope: Fingerprint) {
    engine.pointee.tickets.use(scope: scope)
    guard let ticket = engine.pointee.tickets.take(key, now: engine.pointee.now) else { return }
    defer { SSL_SESSION_free(ticket.session) }
    guard SSL_set_session(ssl, ticket.session) == 1 else {
      ERR_clear_error()
      ticket.identity.release()
      return
    }
    // Holds if the server accepts the ticket; a full handshake puts the certificate's identity in its place.
    peer = ticket.identity
  }
}

extension TLSSession {
  /// Lends the windows and the session's own state to the engine, where libssl's callbacks find them, and takes them back
  /// after `body`. The thread's error queue is empty when `body` begins.
  @inline(__always)
  mutating func drive<Outcome>(
    _ input: inout InputWindow, _ output: inout OutputWindow, _ body: (inout TLSSession) -> Outcome
  ) -> Outcome {
    engine.pointee.input = input
    engine.pointee.output = output
    engine.pointee.peer = peer
    engine.pointee.ticketKey = ticketKey
    engine.pointee.records = records
    engine.pointee.refusal = nil
    ERR_clear_error()
    let outcome = body(&self)
    peer = engine.pointee.peer
    engine.pointee.peer = nil
    engine.pointee.records = nil
    input = engine.pointee.input
    output = engine.pointee.output
    engine.pointee.input = InputWindow()
    engine.pointee.output = OutputWindow()
    return outcome
  }

  /// Whether a server's input, as far as it goes, may be shown to libssl.
  func mayShow(_ input: UnsafeRawBufferPointer) -> Bool {
    var ahead = hello
    return role == .client || ahead.pass(input)
  }

  /// Notes what libssl has read of a server's input.
  mutating func noteRead(_ input: UnsafeRawBufferPointer) {
    if role == .server { _ = hello.pass(input) }
  }

  /// Empties the error queue after a call that failed for good and names the reason.
  func failure() -> TLSFailure {
    let failure = TLSFailure.drainErrorQueue()
    return engine.pointee.refusal ?? failure
  }
}
