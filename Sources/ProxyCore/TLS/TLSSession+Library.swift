/// Records while libssl still has them, and the hand-over: for a server right after the handshake, for a client once the
/// ticket has come, which only libssl can make a session of.

import COpenSSL

/// How far libssl has come with records under the application keys.
struct LibraryProgress {
  var read = RecordCounter()
  var written = RecordCounter()
  /// Nothing is handed over any more: the keys have changed since the handshake, or what the handshake wrote is not known.
  /// Neither happens between sidecars.
  var keepsRecords = false
  /// As `RecordLayer.barrenRecords`: libssl has no bound on tickets.
  private var barrenRecords = 0

  /// Notes what one SSL_read has read. False when the peer has sent too much of nothing.
  fileprivate mutating func pass(_ bytes: UnsafeRawBufferPointer, hasData: Bool) -> Bool {
    let before = read.count
    read.pass(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), count: bytes.count)
    barrenRecords += Int(truncatingIfNeeded: read.count - before)
    // The last record that it has read is the one that holds the data.
    let bound = RecordLayer.barrenRecordsMax + (hasData ? 1 : 0)
    defer { if hasData { barrenRecords = 0 } }
    return barrenRecords <= bound
  }
}

extension TLSSession {
  /// A server's tickets are written with the end of the handshake: all that is left for it are records. `written` is what
  /// the last step of the handshake wrote, which for a server is under the application keys.
  mutating func handshakeCompleted(written: UnsafeRawBufferPointer) {
    guard role == .server else { return }
    library.written.pass(written.baseAddress?.assumingMemoryBound(to: UInt8.self), count: written.count)
    handOver()
  }

  private mutating func handOver() {
    // A message may go on in the next record: libssl has the first part of a ticket then, and must have the rest.
    guard let ssl, let agreement, !library.keepsRecords, library.read.isAtBoundary, library.written.isAtBoundary,
      SSL_in_init(ssl) == 0
    else { return }
    let hasBegun = records.pointee.begin(
      suite: agreement.cipherSuite, recordsRead: library.read.count, recordsWritten: library.written.count,
      &engine.pointee.keySchedule)
    guard hasBegun else {
      library.keepsRecords = true
      return
    }
    Self.free(ssl)
    self.ssl = nil
  }

  // MARK: Records

  mutating func libraryDecrypt(
    _ ssl: OpaquePointer, input: inout InputWindow, plaintext: inout OutputWindow, output: inout OutputWindow
  ) -> DecryptOutcome {
    var opened = plaintext
    let outcome = driveRecords(&input, &output) { session -> DecryptOutcome in
      while opened.room > 0 {
        let offered = session.engine.pointee.input.bytes
        let result = SSL_read(ssl, opened.end, Int32(clamping: opened.room))
        let taken = UnsafeRawBufferPointer(rebasing: offered.dropLast(session.engine.pointee.input.count))
        guard session.library.pass(taken, hasData: result > 0) else {
          ERR_clear_error()
          return .failed(.unexpectedMessage)
        }
        if result > 0 {
          opened.fill(Int(result))
          continue
        }
        switch SSL_get_error(ssl, result) {
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
    let hasData = opened.count > plaintext.count
    plaintext = opened
    if outcome == .needsInput, role == .client, hasData || engine.pointee.ticketHasCome { handOver() }
    return outcome
  }

  mutating func libraryEncrypt(
    _ ssl: OpaquePointer, plaintext: inout InputWindow, output: inout OutputWindow
  ) -> EncryptOutcome {
    var source = plaintext
    var nothing = InputWindow()
    let outcome = driveRecords(&nothing, &output) { session -> EncryptOutcome in
      while !source.isEmpty {
        session.libraryUpdateKeysIfDue(ssl)
        let room = session.engine.pointee.output.room - Self.outputReserve
        let length = min(source.count, Self.recordPlaintextMax, room)
        guard length == source.count || length >= Self.recordPlaintextMin else { return .needsOutput }
        let result = SSL_write(ssl, source.start, Int32(length))
        guard result > 0 else {
          if SSL_get_error(ssl, result) == SSL_ERROR_WANT_WRITE { return .needsOutput }
          return .failed(session.failure())
        }
        source.advance(by: Int(result))
      }
      return .done
    }
    plaintext = source
    return outcome
  }

  /// Only with data behind it: between SSL_key_update(3) and the next SSL_write(3) libssl counts as shaking hands, and
  /// SSL_shutdown(3) refuses to say that this is the end.
  private mutating func libraryUpdateKeysIfDue(_ ssl: OpaquePointer) {
    let due = records.pointee.keyUpdateDue
    guard due != .none || library.written.count >= Self.recordsUnderKeyMax else { return }
    records.pointee.keyUpdateDue = .none
    library.keepsRecords = true
    library.written = RecordCounter()
    let kind = due == .askingPeer ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED
    if SSL_key_update(ssl, kind) != 1 { ERR_clear_error() }
  }

  mutating func libraryCloseNotify(_ output: inout OutputWindow) {
    guard let ssl else { return }
    var input = InputWindow()
    driveRecords(&input, &output) { session in
      // Called once only: a second call would read, and throw away what it reads.
      if SSL_shutdown(ssl) < 0 { _ = session.failure() }
    }
  }

  /// `drive`, which also keeps account of the records that libssl writes, and of changes of its keys.
  private mutating func driveRecords<Outcome>(
    _ input: inout InputWindow, _ output: inout OutputWindow, _ body: (inout TLSSession) -> Outcome
  ) -> Outcome {
    engine.pointee.ticketHasCome = false
    engine.pointee.keysHaveChanged = false
    let writtenBefore = output.count
    let outcome = drive(&input, &output, body)
    let written = output.bytes(from: writtenBefore)
    library.written.pass(written.baseAddress?.assumingMemoryBound(to: UInt8.self), count: written.count)
    if engine.pointee.keysHaveChanged { library.keepsRecords = true }
    return outcome
  }

  /// Room in an output window that libssl is left for the overhead of the last record and for a key update (5 bytes and the
  /// overhead) or an alert that it puts in front of it, so that a record never meets a full window.
  static var outputReserve: Int { recordOverhead + (5 + recordOverhead) + (2 + recordOverhead) }
}

// MARK: What libssl tells on the way

/// Lets the session being driven learn its secrets. See SSL_CTX_set_keylog_callback(3); the line goes nowhere else.
func learnSecret(_ ssl: OpaquePointer?, _ line: UnsafePointer<CChar>?) {
  guard let line else { return }
  WindowBIO.state(of: ssl).pointee.records?.pointee.learn(keyLogLine: line)
}

/// Notes that the keys which our record layer knows are the present ones no longer. See SSL_CTX_set_msg_callback(3).
func noteKeyUpdate(
  _ isWritten: Int32, _ version: Int32, _ contentType: Int32, _ message: UnsafeRawPointer?, _ length: Int,
  _ ssl: OpaquePointer?, _ argument: UnsafeMutableRawPointer?
) {
  guard contentType == Int32(RecordFormat.ContentType.handshake.rawValue), let message, length > 0,
    message.load(as: UInt8.self) == PostHandshakeMessage.keyUpdate
  else { return }
  WindowBIO.state(of: ssl).pointee.keysHaveChanged = true
}
