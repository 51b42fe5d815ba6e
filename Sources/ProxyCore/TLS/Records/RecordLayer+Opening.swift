/// What arrives: records found in the received bytes, opened one by one, and dealt with by what is in them. Every byte here
/// is a stranger's until its record has opened, and a proven peer's afterwards; neither can trap.

import COpenSSL

extension RecordLayer {
  /// Opens records from `input` into `plaintext`, as many as are there whole.
  ///
  /// A record is opened only when `plaintext` has room for all that may be in it; an empty window of
  /// `RecordFormat.contentMax` and a byte always has. `output` gets an alert if this fails.
  mutating func open(
    _ input: inout InputWindow, into plaintext: inout OutputWindow, answeringIn output: inout OutputWindow,
    _ schedule: inout KeySchedule, _ partials: inout ChunkPool
  ) -> TLSSession.DecryptOutcome {
    while true {
      let record: UnsafePointer<UInt8>
      let bodySize: Int
      switch nextRecord(&input, &partials) {
      case .incomplete: return .needsInput
      case .refused(let refusal): return refuse(refusal, &output)
      case .whole(let start, let size): (record, bodySize) = (start, size)
      }
      guard let end = plaintext.end, plaintext.room >= bodySize - RecordFormat.tagSize else {
        return .needsPlaintextRoom
      }
      guard opening.open(record, bodySize: bodySize, into: end) else {
        return refuse(.badRecordMAC, &output)
      }
      if partial.isEmpty {
        input.advance(by: RecordFormat.headerSize + bodySize)
      } else {
        partial.giveBack(&partials)
      }
      switch deal(withOpened: end, count: bodySize - RecordFormat.tagSize, &schedule) {
      case .applicationData(let count): plaintext.fill(count)
      case .nothing: break
      case .closed: return .closed
      case .alert(let description): return .failed(.forAlert(description))
      case .refused(let refusal): return refuse(refusal, &output)
      }
    }
  }

  private mutating func refuse(_ refusal: Refusal, _ output: inout OutputWindow) -> TLSSession.DecryptOutcome {
    fatalAlert(refusal.alert, &output)
    return .failed(refusal.failure)
  }

  // MARK: Finding records

  private enum NextRecord {
    case whole(UnsafePointer<UInt8>, bodySize: Int)
    /// All of the input is kept; the rest of the record has not come.
    case incomplete
    case refused(Refusal)
  }

  private mutating func nextRecord(_ input: inout InputWindow, _ partials: inout ChunkPool) -> NextRecord {
    while true {
      let isPartial = !partial.isEmpty
      let count = isPartial ? partial.count : input.count
      var missing = RecordFormat.headerSize - count
      if missing <= 0, let start = isPartial ? partial.start : input.start {
        if let refusal = Refusal(ofHeader: start) { return .refused(refusal) }
        let bodySize = Int(start[3]) << 8 | Int(start[4])
        missing = RecordFormat.headerSize + bodySize - count
        if missing <= 0 { return .whole(start, bodySize: bodySize) }
      }
      guard !input.isEmpty else { return .incomplete }
      guard partial.append(&input, most: isPartial ? missing : count, &partials) else {
        return .refused(.outOfMemory)
      }
    }
  }

  // MARK: What is in them

  private enum Opened {
    case applicationData(count: Int)
    case nothing
    case closed
    case alert(Int32)
    case refused(Refusal)
  }

  /// `content` is what a record had in it: the content, its type and zeros (section 5.4).
  private mutating func deal(
    withOpened content: UnsafePointer<UInt8>, count: Int, _ schedule: inout KeySchedule
  ) -> Opened {
    // The bound is on all of it, padding too (section 5.4).
    guard count <= RecordFormat.contentMax + 1 else { return .refused(.recordTooLarge) }
    var contentCount = count - 1
    while contentCount >= 0, content[contentCount] == 0 { contentCount -= 1 }
    guard contentCount >= 0, let type = RecordFormat.ContentType(rawValue: content[contentCount]),
      // Messages of the handshake protocol are not interleaved with anything (section 5.1).
      type == .handshake || message.isAtBoundary
    else { return .refused(.unexpectedMessage) }

    if type == .applicationData, contentCount > 0 {
      barrenRecords = 0
      return .applicationData(count: contentCount)
    }
    barrenRecords += 1
    guard barrenRecords <= Self.barrenRecordsMax else { return .refused(.unexpectedMessage) }
    switch type {
    case .applicationData: return .nothing
    case .alert: return deal(withAlert: content, count: contentCount)
    case .handshake: return deal(withHandshake: content, count: contentCount, &schedule)
    }
  }

  private func deal(withAlert content: UnsafePointer<UInt8>, count: Int) -> Opened {
    // Alerts are neither split nor joined (section 5.1).
    guard count == 2 else { return .refused(count == 0 ? .unexpectedMessage : .malformedMessage) }
    switch Int32(content[1]) {
    case SSL_AD_CLOSE_NOTIFY: return .closed
    // Says that a close_notify will follow (section 6.1). Every other alert is fatal, whatever level it claims (6.2).
    case SSL_AD_USER_CANCELLED: return .nothing
    case let description: return .alert(description)
    }
  }

  private mutating func deal(
    withHandshake content: UnsafePointer<UInt8>, count: Int, _ schedule: inout KeySchedule
  ) -> Opened {
    guard count > 0 else { return .refused(.unexpectedMessage) }
    var position = 0
    while position < count {
      switch message.read(content, from: &position, to: count, isClient: role == .client) {
      case .goesOn, .ignored: continue
      case .refused(let refusal): return .refused(refusal)
      case .keyUpdate(let isAnswerWanted):
        // The next record is under the next key, so that nothing may stand behind the message (section 5.1).
        guard position == count else { return .refused(.unexpectedMessage) }
        guard let suite, opening.update(suite, &schedule) else { return .refused(.internalError) }
        if isAnswerWanted, keyUpdateDue == .none { keyUpdateDue = .own }
      }
    }
    return .nothing
  }
}

/// Why a record or what was in it is refused: what is counted, and what the peer is told (RFC 8446 section 6).
struct Refusal {
  let failure: TLSFailure
  let alert: Int32

  static var badRecordMAC: Refusal { Refusal(failure: .badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC) }
  static var recordTooLarge: Refusal { Refusal(failure: .recordTooLarge, alert: SSL_AD_RECORD_OVERFLOW) }
  static var unexpectedMessage: Refusal { Refusal(failure: .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) }
  static var malformedMessage: Refusal { Refusal(failure: .malformedMessage, alert: SSL_AD_DECODE_ERROR) }
  static var illegalParameter: Refusal { Refusal(failure: .malformedMessage, alert: SSL_AD_ILLEGAL_PARAMETER) }
  static var outOfMemory: Refusal { Refusal(failure: .outOfMemory, alert: SSL_AD_INTERNAL_ERROR) }
  static var internalError: Refusal { Refusal(failure: .internalError, alert: SSL_AD_INTERNAL_ERROR) }

  private init(failure: TLSFailure, alert: Int32) {
    self.failure = failure
    self.alert = alert
  }

  /// What is wrong with a header of five bytes; nil when nothing is.
  init?(ofHeader header: UnsafePointer<UInt8>) {
    // Sealed records bear TLS 1.2's version (section 5.2); anything else is no TLS, or not of this connection.
    guard header[1] == 3, header[2] == 3 else {
      self = Refusal(failure: .notTLS, alert: header[1] == 3 ? SSL_AD_DECODE_ERROR : SSL_AD_PROTOCOL_VERSION)
      return
    }
    // After the handshake nothing comes in the clear any more: no alert, no dummy change_cipher_spec (section 5).
    guard header[0] == RecordFormat.ContentType.applicationData.rawValue else {
      self = .unexpectedMessage
      return
    }
    let bodySize = Int(header[3]) << 8 | Int(header[4])
    if bodySize > RecordFormat.bodyMax {
      self = .recordTooLarge
    } else if bodySize <= RecordFormat.tagSize {
      // Too short for a type and a tag: no key has sealed this.
      self = .badRecordMAC
    } else {
      return nil
    }
  }
}
