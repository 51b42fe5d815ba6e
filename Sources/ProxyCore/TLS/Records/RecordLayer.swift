/// Record protection after the handshake: what libssl would do for each message, without its detours. `TLSSession` keeps
/// one, lets it learn the secrets while libssl shakes hands, and hands over to it.
///
/// Why not leave it to libssl: see docs/adr/0003-own-record-layer.md. It copies each byte twice on its way in and twice on
/// its way out, allocates for each record, and keeps 13 KiB per idle connection.

import COpenSSL

/// Both directions of one connection, under RFC 8446 section 5. The handshake's own messages never come here; those that
/// follow it are the key update and tickets that nobody wants any more.
///
/// Lives at an address of its own, where libssl's callback finds it; that memory is wiped when it goes.
struct RecordLayer: ~Copyable {
  let role: TLSRole
  /// Nil until libssl has handed over.
  var suite: CipherSuite?
  var sealing = RecordKey()
  var opening = RecordKey()
  /// The beginning of a record whose rest has not come, in a chunk of the engine's.
  var partial = PartialRecord()
  /// Where in a message of the handshake protocol, which may be spread over records, the peer is.
  var message = PostHandshakeMessage()
  /// A key update that goes out before the next application data (section 4.6.3): one that the peer has asked for, or one
  /// of our own accord.
  var keyUpdateDue = KeyUpdate.none

  enum KeyUpdate {
    case none
    case own
    /// We want the peer to change its key, too.
    case askingPeer
  }

  /// Records in a row without a byte for the application; see `barrenRecordsMax`.
  var barrenRecords = 0

  /// A peer that sends nothing but empty records, key updates and tickets makes us work for nothing.
  static var barrenRecordsMax: Int { 32 }

  static func make(_ role: TLSRole) -> UnsafeMutablePointer<RecordLayer> {
    let layer = UnsafeMutablePointer<RecordLayer>.allocate(capacity: 1)
    layer.initialize(to: RecordLayer(role: role))
    return layer
  }

  /// Ends it: nothing of its keys is left in memory. `partials` is the pool that it was used with.
  static func destroy(_ layer: UnsafeMutablePointer<RecordLayer>, _ partials: inout ChunkPool) {
    layer.pointee.partial.giveBack(&partials)
    layer.pointee.sealing.end()
    layer.pointee.opening.end()
    layer.deinitialize(count: 1)
    OPENSSL_cleanse(layer, MemoryLayout<RecordLayer>.size)
    layer.deallocate()
  }

  private init(role: TLSRole) { self.role = role }

  /// Takes over from libssl, after so many records under the first application keys. False when it can't, for want of
  /// memory or because the suite or the secrets are not known: libssl goes on then.
  mutating func begin(
    suite number: UInt16, recordsRead: UInt64, recordsWritten: UInt64, _ schedule: inout KeySchedule
  ) -> Bool {
    guard let suite = CipherSuite.numbered(number),
      opening.begin(suite, sequence: recordsRead, isSealing: false, &schedule),
      sealing.begin(suite, sequence: recordsWritten, isSealing: true, &schedule)
    else {
      opening.end()
      sealing.end()
      return false
    }
    self.suite = suite
    return true
  }
}

// MARK: Secrets

extension RecordLayer {
  /// Notes a secret out of a line of libssl's key log, if it is one of the two that protect application data. The line
  /// has a label, the client's random and the secret, the latter two in hexadecimal (SSL_CTX_set_keylog_callback(3)).
  mutating func learn(keyLogLine line: UnsafePointer<CChar>) {
    let text = UnsafeRawPointer(line).assumingMemoryBound(to: UInt8.self)
    let isOurs: Bool
    if Self.begins(text, with: "CLIENT_TRAFFIC_SECRET_0 ") {
      isOurs = role == .client
    } else if Self.begins(text, with: "SERVER_TRAFFIC_SECRET_0 ") {
      isOurs = role == .server
    } else {
      return
    }
    // Both labels are of this length, and a random has 32 bytes.
    var digits = text + 24 + 64 + 1
    withUnsafeTemporaryAllocation(byteCount: CipherSuite.Hash.sha384.size, alignment: 8) { secret in
      defer { OPENSSL_cleanse(secret.baseAddress, secret.count) }
      var size = 0
      while size < secret.count, let high = Self.value(ofDigit: digits[0]), let low = Self.value(ofDigit: digits[1]) {
        secret[size] = high << 4 | low
        size += 1
        digits += 2
      }
      let bytes = UnsafeRawBufferPointer(rebasing: secret[..<size])
      if isOurs { sealing.learn(secret: bytes) } else { opening.learn(secret: bytes) }
    }
  }

  private static func begins(_ text: UnsafePointer<UInt8>, with label: StaticString) -> Bool {
    for index in 0..<label.utf8CodeUnitCount where text[index] != label.utf8Start[index] { return false }
    return true
  }

  private static func value(ofDigit digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
