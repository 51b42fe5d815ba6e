// The TLS side of a connection: allocated when the first bytes of a handshake come, freed with the connection, so that
// connections in the clear pay a pointer for it.

/// A session and what it has to say that no piece carries yet.
struct TLSConnection: ~Copyable {
  var session: TLSSession
  /// Which side is encrypted.
  let side: Side
  /// The mesh rule that the other side must satisfy; nil for an inbound session.
  let meshRule: (rules: MeshRules, index: Int)?
  /// Monotonic nanoseconds.
  let handshakeStartedAt: UInt64
  /// 0 until the handshake has completed.
  var handshakeCompletedAt: UInt64 = 0

  /// Records of the protocol itself (answers to key updates, alerts) that were written while another piece was on its
  /// way. They go out in front of whatever is sealed next. A peer that asks for more than fits is not read until they
  /// are sent.
  private let protocolBytes: UnsafeMutableRawBufferPointer
  private(set) var protocolByteCount = 0

  /// Room for a handful of answers and an alert.
  private static var protocolBytesMax: Int { 256 }

  init(session: consuming TLSSession, side: Side, meshRule: (rules: MeshRules, index: Int)?, now: UInt64) {
    self.session = session
    self.side = side
    self.meshRule = meshRule
    handshakeStartedAt = now
    protocolBytes = .allocate(byteCount: Self.protocolBytesMax, alignment: 1)
  }

  deinit { protocolBytes.deallocate() }

  /// Opens records; see `TLSSession.decrypt`. What the protocol has to answer is kept.
  mutating func open(_ ciphertext: inout InputWindow, _ plaintext: inout OutputWindow) -> TLSSession.DecryptOutcome {
    while true {
      // Behind close_notify there is nothing to say any more (RFC 8446 section 6.1); libssl answers all the same.
      if session.closeNotifySent { protocolByteCount = 0 }
      var answers = OutputWindow(protocolBytes, count: protocolByteCount)
      let outcome = session.decrypt(input: &ciphertext, plaintext: &plaintext, output: &answers)
      protocolByteCount = answers.count
      guard outcome == .needsOutput, session.closeNotifySent else { return outcome }
    }
  }

  /// Moves what the protocol has to say into `records`, which has room for it.
  mutating func takeProtocolBytes(into records: inout OutputWindow) {
    records.append(UnsafeRawBufferPointer(rebasing: protocolBytes[..<protocolByteCount]))
    protocolByteCount = 0
  }
}

extension UnsafeMutablePointer<Connection> {
  /// Frees what connections in the clear don't have. Before the engine of the session goes.
  func freeTLS() {
    guard let tls = pointee.tls else { return }
    tls.deinitialize(count: 1)
    tls.deallocate()
    pointee.tls = nil
  }

  /// Whether this direction's bytes leave sealed in TLS records.
  @inline(__always)
  func isSealing(_ direction: Direction) -> Bool {
    pointee.tls?.pointee.side == direction.sink
  }
}
