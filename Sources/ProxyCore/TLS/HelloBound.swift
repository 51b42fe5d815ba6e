/// A bound on the hello of a stranger. libssl makes room for a whole message as soon as its header has come: a client that
/// sends nine bytes and stops could have it hold 128 KiB, some 200 KiB as it rounds, a thousand times per worker.
/// `TLSSession` has a server's handshake looked at here before libssl sees it.

import COpenSSL

/// Follows the messages in a client's plaintext records, cut as they may be. Once records are sealed there is nothing left
/// to see; what they announce is bounded by what a certificate chain may have (SSL_CTX_set_max_cert_list(3)).
struct HelloBound {
  /// Bytes of the present record's header that have passed, and what they said.
  private var headerCount = 0
  private var isHandshake = false
  private var recordLeft = 0
  /// Bytes of the present message's header (type, three bytes of length) that have passed, and what they said.
  private var messageHeaderCount = 0
  private var isHello = false
  private var messageLeft = 0

  /// Looks at bytes as they come. False when they announce a hello that is too long.
  mutating func pass(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var position = 0
    while position < bytes.count {
      let present = bytes.count - position
      if headerCount < RecordFormat.headerSize {
        readRecordHeader(bytes[position])
        position += 1
      } else if isHandshake, messageHeaderCount < Self.messageHeaderSize {
        guard readMessageHeader(bytes[position]) else { return false }
        position += 1
        recordLeft -= 1
      } else {
        let passed = min(present, isHandshake ? min(recordLeft, messageLeft) : recordLeft)
        position += passed
        recordLeft -= passed
        if isHandshake { messageLeft -= passed }
      }
      if messageHeaderCount == Self.messageHeaderSize, messageLeft == 0 { messageHeaderCount = 0 }
      if headerCount == RecordFormat.headerSize, recordLeft == 0 { headerCount = 0 }
    }
    return true
  }

  /// RFC 8446 section 5.1. Whether it makes sense is for libssl to say.
  private mutating func readRecordHeader(_ byte: UInt8) {
    switch headerCount {
    case 0: isHandshake = byte == RecordFormat.ContentType.handshake.rawValue
    case 3: recordLeft = Int(byte) << 8
    case 4: recordLeft |= Int(byte)
    default: break
    }
    headerCount += 1
  }

  /// RFC 8446 section 4. False when what it announces is too much.
  private mutating func readMessageHeader(_ byte: UInt8) -> Bool {
    if messageHeaderCount == 0 {
      isHello = byte == UInt8(SSL3_MT_CLIENT_HELLO)
      messageLeft = 0
    } else {
      messageLeft = messageLeft << 8 | Int(byte)
    }
    messageHeaderCount += 1
    return messageHeaderCount < Self.messageHeaderSize || !isHello || messageLeft <= ClientHelloInspector.helloSizeMax
  }

  private static var messageHeaderSize: Int { 4 }
}
