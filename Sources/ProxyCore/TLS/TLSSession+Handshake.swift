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
    guard let ssl else { preconditionFailure("a handshake after the handshake") }
    let (offered, writtenBefore) = (input.bytes, output.count)
    guard mayShow(offered) else {
      output.appendAlert(SSL_AD_ILLEGAL_PARAMETER)
      return .failed(.recordTooLarge)
    }
    let outcome = drive(&input, &output) { session -> HandshakeOutcome in
      let result = SSL_do_handshake(ssl)
      if result == 1 { return .complete }
      switch SSL_get_error(ssl, result) {
      case SSL_ERROR_WANT_READ: return .needsInput
      case SSL_ERROR_WANT_WRITE: return .needsOutput
      // close_notify, after which libssl has no error to tell.
      case SSL_ERROR_ZERO_RETURN: return .failed(.peerAlert)
      default: return .failed(session.failure())
      }
    }
    noteRead(UnsafeRawBufferPointer(rebasing: offered.dropLast(input.count)))
    switch outcome {
    case .complete:
      // libssl demands a certificate from every peer, so this can't be; but no peer without a name goes past this line.
      guard peer != nil else { return .failed(.certificateMissing) }
      agreement = Agreement(of: ssl)
      handshakeCompleted(written: output.bytes(from: writtenBefore))
    case .needsOutput:
      // Where the handshake's last records end and the first under the application keys begin can't be told any more.
      library.keepsRecords = true
    case .needsInput, .failed: break
    }
    return outcome
  }

  /// Tells the peer that nothing more will come (RFC 8446 section 6.1). The other direction lives on: `decrypt` works until
  /// the peer closes as well. Returns false when the output window has no room for it: send it and call again.
  mutating func closeNotify(output: inout OutputWindow) -> Bool {
    guard !closeNotifySent else { return true }
    guard output.room >= Self.alertSize else { return false }
    // There is no half-close to announce before the handshake is over.
    guard agreement != nil else { return true }
    if ssl == nil {
      // A failure of libcrypto's leaves the end unsaid, which the peer takes for a cut.
      _ = records.pointee.closeNotify(&output)
    } else {
      libraryCloseNotify(&output)
    }
    closeNotifySent = true
    return true
  }

  /// A sealed alert: two bytes and the record's overhead. Nothing else is written by `closeNotify`.
  static var alertSize: Int { 2 + recordOverhead }
}

extension OutputWindow {
  /// Writes a fatal alert in the clear, as it is before there are keys, if there is room for it.
  fileprivate mutating func appendAlert(_ description: Int32) {
    let record: InlineArray<7, UInt8> = [
      RecordFormat.ContentType.alert.rawValue, 3, 3, 0, 2, UInt8(SSL3_AL_FATAL), UInt8(truncatingIfNeeded: description),
    ]
    withUnsafeBytes(of: record) { if $0.count <= room { append($0) } }
  }
}

extension TLSSession.Agreement {
  fileprivate init(of ssl: OpaquePointer) {
    var protocolName: UnsafePointer<UInt8>?
    var protocolLength: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &protocolName, &protocolLength)
    version = UInt16(truncatingIfNeeded: SSL_version(ssl))
    cipherSuite = SSL_get_current_cipher(ssl).map { SSL_CIPHER_get_protocol_id($0) } ?? 0
    isResumed = SSL_session_reused(ssl) == 1
    isMeshProtocol = protocolLength > 0
  }
}
