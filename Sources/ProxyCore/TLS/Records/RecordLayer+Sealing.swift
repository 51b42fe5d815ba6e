/// What leaves: application data in records as large as they may be, key updates, alerts.

import COpenSSL

extension RecordLayer {
  /// Seals as much of `plaintext` as fits `output`. `schedule` makes the next key when it is time for one.
  mutating func seal(
    _ plaintext: inout InputWindow, into output: inout OutputWindow, _ schedule: inout KeySchedule
  ) -> TLSSession.EncryptOutcome {
    while !plaintext.isEmpty {
      if sealing.sequence >= TLSSession.recordsUnderKeyMax, keyUpdateDue == .none { keyUpdateDue = .own }
      if keyUpdateDue != .none {
        guard output.room >= Self.keyUpdateSize else { return .needsOutput }
        guard updateSealingKey(&output, &schedule) else { return .failed(.internalError) }
      }
      let length = min(plaintext.count, RecordFormat.contentMax, output.room - RecordFormat.overhead)
      // A small window is not filled with crumbs: each record costs the peer a decryption and 22 bytes.
      guard length == plaintext.count || length >= TLSSession.recordPlaintextMin else { return .needsOutput }
      guard put(plaintext.start, count: length, .applicationData, &output) else { return .failed(.internalError) }
      plaintext.advance(by: length)
    }
    return .done
  }

  /// Says that nothing more will come (section 6.1); the output has room for it.
  mutating func closeNotify(_ output: inout OutputWindow) -> Bool {
    putAlert(level: 1, description: UInt8(SSL_AD_CLOSE_NOTIFY), &output)
  }

  /// Tells the peer why this ends, if there is room for it: the alert is a courtesy (section 6.2).
  mutating func fatalAlert(_ description: Int32, _ output: inout OutputWindow) {
    guard output.room >= TLSSession.alertSize else { return }
    _ = putAlert(level: 2, description: UInt8(truncatingIfNeeded: description), &output)
  }

  /// Changes our key with a message under the old one (section 4.6.3); the output has room for it.
  private mutating func updateSealingKey(_ output: inout OutputWindow, _ schedule: inout KeySchedule) -> Bool {
    guard let suite else { return false }
    let message: InlineArray<5, UInt8> = [PostHandshakeMessage.keyUpdate, 0, 0, 1, keyUpdateDue == .askingPeer ? 1 : 0]
    keyUpdateDue = .none
    return withUnsafeBytes(of: message) { bytes in
      put(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), count: bytes.count, .handshake, &output)
    } && sealing.update(suite, &schedule)
  }

  private mutating func putAlert(level: UInt8, description: UInt8, _ output: inout OutputWindow) -> Bool {
    let alert: InlineArray<2, UInt8> = [level, description]
    return withUnsafeBytes(of: alert) { bytes in
      put(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), count: bytes.count, .alert, &output)
    }
  }

  private mutating func put(
    _ content: UnsafePointer<UInt8>?, count: Int, _ type: RecordFormat.ContentType, _ output: inout OutputWindow
  ) -> Bool {
    guard let end = output.end, sealing.seal(content, count: count, type: type, at: end) else { return false }
    output.fill(count + RecordFormat.overhead)
    return true
  }

  /// A sealed key update: five bytes and the record's overhead.
  private static var keyUpdateSize: Int { 5 + RecordFormat.overhead }
}
