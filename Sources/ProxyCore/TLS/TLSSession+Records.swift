/// The data phase of a session: many records per call, in both directions.

import COpenSSL

extension TLSSession {
  /// What the owner of a session has to do after `decrypt`.
  enum DecryptOutcome: Equatable {
    /// Everything was read; call again with what the peer sends next.
    case needsInput
    /// The plaintext window is full; call again with another one and the rest of the input, which may be empty: libssl
    /// may hold the rest of a record (`plaintextPending`).
    case needsPlaintextRoom
    /// An answer that the protocol demands doesn't fit the output window: send it and call again. libssl 3.0 and 3.5 keep
    /// the answer to a key update back until `encrypt` has something to say, so that in practice this doesn't happen.
    case needsOutput
    /// The peer has closed its direction with close_notify; whatever follows it is not read.
    case closed
    case failed(TLSFailure)
  }

  /// Opens records from `input` into `plaintext` until one of them ends.
  ///
  /// Plaintext may have been written whatever the outcome is. `output` is for what the protocol itself has to say: the
  /// answer to a key update (27 bytes each), an alert. It may be a window without room; only `needsOutput` insists.
  /// Give at least `recordPlaintextMax` bytes of plaintext room, or records are handed out in pieces and stay in libssl's
  /// buffer in between.
  mutating func decrypt(
    input: inout InputWindow, plaintext: inout OutputWindow, output: inout OutputWindow
  ) -> DecryptOutcome {
    var opened = plaintext
    let outcome = drive(&input, &output) { session -> DecryptOutcome in
      while opened.room > 0 {
        let result = SSL_read(session.ssl, opened.end, Int32(clamping: opened.room))
        if result > 0 {
          opened.fill(Int(result))
          continue
        }
        switch SSL_get_error(session.ssl, result) {
        case SSL_ERROR_WANT_READ: return .needsInput
        case SSL_ERROR_WANT_WRITE: return .needsOutput
        case SSL_ERROR_ZERO_RETURN:
          session.endOfInputIsClean = true
          return .closed
        default: return .failed(session.failure())
        }
      }
      return .needsPlaintextRoom
    }
    plaintext = opened
    return outcome
  }

  /// What the owner of a session has to do after `encrypt`.
  enum EncryptOutcome: Equatable {
    /// All of the plaintext is in records.
    case done
    /// The output window is full; send it and call again with the rest of the plaintext.
    case needsOutput
    case failed(TLSFailure)
  }

  /// Seals as much of `plaintext` as fits `output`, in records as large as they may be.
  ///
  /// A record is begun only when there is room for all of it, so libssl never keeps one back. `outputSize(for:)` says how
  /// much room takes everything.
  mutating func encrypt(plaintext: inout InputWindow, output: inout OutputWindow) -> EncryptOutcome {
    var source = plaintext
    var nothing = InputWindow()
    let outcome = drive(&nothing, &output) { session -> EncryptOutcome in
      while !source.isEmpty {
        if session.recordsUnderKey >= Self.recordsUnderKeyMax { session.updateKeys(askingPeer: false) }
        let room = session.engine.pointee.output.room - Self.outputReserve
        let length = min(source.count, Self.recordPlaintextMax, room)
        // A small window is not filled with crumbs: each record costs the peer a decryption and 22 bytes.
        guard length == source.count || length >= Self.recordPlaintextMin else { return .needsOutput }
        let result = SSL_write(session.ssl, source.start, Int32(length))
        guard result > 0 else {
          if SSL_get_error(session.ssl, result) == SSL_ERROR_WANT_WRITE { return .needsOutput }
          return .failed(session.failure())
        }
        source.advance(by: Int(result))
        session.recordsUnderKey &+= 1
      }
      return .done
    }
    plaintext = source
    return outcome
  }

  /// Changes the key of our direction with the next record that is written (RFC 8446 section 4.6.3), and has the peer change
  /// its own if asked to.
  mutating func updateKeys(askingPeer: Bool) {
    let kind = askingPeer ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED
    if SSL_key_update(ssl, kind) != 1 { ERR_clear_error() }
    recordsUnderKey = 0
  }

  /// The room in an output window that is enough to seal `plaintextCount` bytes in one call.
  static func outputSize(for plaintextCount: Int) -> Int {
    let records = (plaintextCount + recordPlaintextMax - 1) / recordPlaintextMax
    return plaintextCount + records * recordOverhead + outputReserve
  }

  /// The most plaintext in one record, in bytes (RFC 8446 section 5.1).
  static var recordPlaintextMax: Int { 16_384 }

  /// What a record adds to its plaintext: five bytes of header, the content type, sixteen bytes of tag (section 5.2).
  static var recordOverhead: Int { 5 + 1 + 16 }

  /// Room that is kept free for the overhead of the last record and for a key update (5 bytes and the overhead) or an alert
  /// that libssl puts in front of it, so that a record never meets a full window.
  private static var outputReserve: Int { recordOverhead + (5 + recordOverhead) + (2 + recordOverhead) }

  /// Below this much room the window is sent first.
  private static var recordPlaintextMin: Int { 1024 }

  /// AES-GCM is good for 2^24.5 full records under one key (RFC 8446 section 5.5); libssl doesn't count them. 2^23 leaves a
  /// margin and comes once in 128 GiB.
  static var recordsUnderKeyMax: UInt32 { 1 << 23 }
}
