/// The messages of the handshake protocol that may come after the handshake (RFC 8446 section 4.6), read as they come:
/// spread over records, several in one, and none of them kept.

/// Where in a message the peer is.
struct PostHandshakeMessage {
  /// HandshakeType of the two that are allowed.
  static var newSessionTicket: UInt8 { 4 }
  static var keyUpdate: UInt8 { 24 }

  /// Bytes of the header (type, three bytes of length) and of the body that have come.
  private var headerCount = 0
  private var type: UInt8 = 0
  private var bodyLeft = 0

  enum Outcome {
    /// The message goes on in the next record.
    case goesOn
    /// A whole message that means nothing to us.
    case ignored
    case keyUpdate(isAnswerWanted: Bool)
    case refused(Refusal)
  }

  /// Whether no message has begun that has not ended.
  var isAtBoundary: Bool { headerCount == 0 }

  /// Reads up to the end of one message, or of `content`; moves `position`.
  mutating func read(
    _ content: UnsafePointer<UInt8>, from position: inout Int, to end: Int, isClient: Bool
  ) -> Outcome {
    while headerCount < 4 {
      guard position < end else { return .goesOn }
      let byte = content[position]
      position += 1
      if headerCount == 0 {
        // Tickets go from servers to clients. We never ask for a certificate after the handshake, nor offer to give one.
        guard byte == Self.keyUpdate || (isClient && byte == Self.newSessionTicket) else {
          return .refused(.unexpectedMessage)
        }
        type = byte
        bodyLeft = 0
      } else {
        bodyLeft = bodyLeft << 8 | Int(byte)
      }
      headerCount += 1
      if headerCount == 4, type == Self.keyUpdate, bodyLeft != 1 { return .refused(.malformedMessage) }
    }
    if type == Self.keyUpdate {
      guard position < end else { return .goesOn }
      let request = content[position]
      position += 1
      headerCount = 0
      return request <= 1 ? .keyUpdate(isAnswerWanted: request == 1) : .refused(.illegalParameter)
    }
    let passed = min(bodyLeft, end - position)
    position += passed
    bodyLeft -= passed
    guard bodyLeft == 0 else { return .goesOn }
    headerCount = 0
    return .ignored
  }
}
