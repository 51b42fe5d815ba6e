/// The data phase of a session: many records per call, in both directions.

import COpenSSL

extension TLSSession {
  /// What the owner of a session has to do after `decrypt`.
  enum DecryptOutcome: Equatable {
    /// Everything was read; call again with what the peer sends next.
    case needsInput
    /// The plaintext window is full; call again with another one and the rest of the input, which may be empty: libssl
    /// may hold the rest of a record.
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
  /// Plaintext may have been written whatever the outcome is. `output` is for what the protocol itself has to say: an
  /// alert, or libssl's answer to a key update (27 bytes each). It may be a window without room; only `needsOutput` insists.
  /// An empty plaintext window has room for more than `recordPlaintextMax` bytes, or no record need ever fit it.
  mutating func decrypt(
    input: inout InputWindow, plaintext: inout OutputWindow, output: inout OutputWindow
  ) -> DecryptOutcome {
    if let ssl { return libraryDecrypt(ssl, input: &input, plaintext: &plaintext, output: &output) }
    let outcome = records.pointee.open(
      &input, into: &plaintext, answeringIn: &output, &engine.pointee.keySchedule, &engine.pointee.partials)
    if case .closed = outcome { endOfInputIsClean = true }
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
  /// A record is begun only when there is room for all of it, so none is ever kept back. `outputSize(for:)` says how much
  /// room takes everything.
  mutating func encrypt(plaintext: inout InputWindow, output: inout OutputWindow) -> EncryptOutcome {
    if let ssl { return libraryEncrypt(ssl, plaintext: &plaintext, output: &output) }
    return records.pointee.seal(&plaintext, into: &output, &engine.pointee.keySchedule)
  }

  /// Changes the key of our direction before the next data that is written (RFC 8446 section 4.6.3), and has the peer
  /// change its own if asked to. Where no data follows, nothing changes.
  mutating func updateKeys(askingPeer: Bool) {
    records.pointee.keyUpdateDue = askingPeer ? .askingPeer : .own
  }

  /// The room in an output window that is enough to seal `plaintextCount` bytes in one call.
  static func outputSize(for plaintextCount: Int) -> Int {
    let records = (plaintextCount + recordPlaintextMax - 1) / recordPlaintextMax
    return plaintextCount + records * recordOverhead + outputReserve
  }

  /// The most plaintext in one record, in bytes (RFC 8446 section 5.1).
  static var recordPlaintextMax: Int { RecordFormat.contentMax }

  /// What a record adds to its plaintext: five bytes of header, the content type, sixteen bytes of tag (section 5.2).
  static var recordOverhead: Int { RecordFormat.overhead }

  /// Below this much room the window is sent first.
  static var recordPlaintextMin: Int { 1024 }

  /// AES-GCM is good for 2^24.5 full records under one key (RFC 8446 section 5.5); libssl doesn't count them. 2^23 leaves a
  /// margin and comes once in 128 GiB.
  static var recordsUnderKeyMax: UInt64 { 1 << 23 }
}
