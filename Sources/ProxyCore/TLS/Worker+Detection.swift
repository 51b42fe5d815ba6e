// Permissive listeners: is it our mesh's TLS, or something that passes through unread? The app is connected at once, and
// whoever speaks first decides. The client's first bytes are looked at where they were received; if they are not for us
// they are passed on like any others.

import IOUring

extension Worker where K: ~Copyable {
  mutating func beginDetection(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.isUndecided = true
    connection.half(.toUpstream).pointee.sourceHasMore = true
    submitReceive(slot, connection, .toUpstream)
    connectUpstream(slot, connection)
  }

  /// The upstream is there and the client has not said enough: the app may be the one who speaks first.
  mutating func awaitFirstBytes(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.phase = .detecting
    setDetectionTimer(slot, connection)
    submitReceive(slot, connection, .toDownstream)
  }

  /// A silent connection may stay silent; half a hello may not.
  private mutating func setDetectionTimer(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.half(.toUpstream).pointee.waiting.isEmpty {
      setSilenceTimer(slot, connection)
    } else {
      timers.set(
        slot, deadline: connection.pointee.lastActivityAt.addingSaturated(settings.detectTimeout), in: connections)
    }
  }

  mutating func detectionTimedOut(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.half(.toUpstream).pointee.waiting.isEmpty {
      close(slot, connection, .idleTimeout)
    } else {
      decideClear(slot, connection)
    }
  }

  mutating func detectionReceived(
    _ piece: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    guard direction == .toUpstream else {
      half.pointee.waiting = piece
      decideClear(slot, connection)
      return
    }
    guard append(piece, to: half) else {
      tlsFailed(slot, connection, .outOfMemory)
      return
    }
    guard let identity else {
      decideClear(slot, connection)
      return
    }
    let verdict = identity.alpn.withUnsafeBytes { alpn in
      ClientHelloInspector.inspect(
        half.pointee.waiting.rest, protocolName: UnsafeRawBufferPointer(rebasing: alpn.dropFirst()))
    }
    switch verdict {
    case .tlsWithOurALPN:
      connection.pointee.isUndecided = false
      settle(connection, .mutual)
      beginDetectedHandshake(slot, connection)
    case .otherTLS, .notTLS:
      decideClear(slot, connection)
    case .needMoreBytes:
      if connection.pointee.phase == .detecting { setDetectionTimer(slot, connection) }
      submitReceive(slot, connection, direction)
    }
  }

  /// Puts a piece behind what waits; false when no memory is left. The inspector gives up after 32 KiB, so that a large
  /// buffer holds whatever it asks for.
  private mutating func append(_ piece: Piece, to half: UnsafeMutablePointer<HalfPipe>) -> Bool {
    if half.pointee.waiting.isEmpty {
      half.pointee.waiting = piece
      moveToChunk(&half.pointee.waiting)
      return true
    }
    var hello = half.pointee.waiting
    if hello.home != .bulk, hello.rest.count + piece.rest.count > chunks.chunkSize || hello.home == .buffer {
      guard let bulk = bulkBuffers.take() else {
        release(piece)
        return false
      }
      UnsafeMutableRawBufferPointer(start: bulk, count: bulkBuffers.chunkSize).copyMemory(from: hello.rest)
      let enlarged = Piece(base: bulk, count: hello.count &- hello.taken, home: .bulk)
      release(hello)
      hello = enlarged
    }
    UnsafeMutableRawBufferPointer(start: hello.base.map { $0 + Int(hello.count) }, count: piece.rest.count)
      .copyMemory(from: piece.rest)
    hello.count += UInt32(truncatingIfNeeded: piece.rest.count)
    half.pointee.waiting = hello
    release(piece)
    return true
  }

  /// It is not for us: the bytes pass through unread, if a peer without an identity is allowed to, and if the listener has not
  /// become strict since the connection came.
  mutating func decideClear(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.isUndecided = false
    settle(connection, .none)
    guard listeners[ListenerID(rawValue: Int(connection.pointee.listener))]?.plan.tls != .strict else {
      connection.pointee.tlsFailure = .notTLS
      close(slot, connection, .tlsHandshakeFailed)
      return
    }
    guard authorize(slot, connection) else { return }
    if connection.pointee.connectedAt != 0 { startRelay(slot, connection) }
  }
}
