// How a connection ends: half-close, reset, and the tear-down that every end goes through. Descriptors are closed only
// after the final completion of everything in flight, because the kernel reuses their numbers at once.

import Glibc
import IOUring

extension Worker where K: ~Copyable {
  // MARK: Half-close

  func noteSourceEnded(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    connection.half(direction).pointee.sourceEnded = true
    if !connection.half(direction == .toUpstream ? .toDownstream : .toUpstream).pointee.sourceEnded {
      connection.pointee.firstEnded = direction.source
    }
  }

  /// The source's FIN came. It is passed on behind the last byte.
  mutating func endOfStream(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    if connection.pointee.isUndecided {
      noteSourceEnded(connection, direction)
      // The relay passes on what came before the end, and the end, when it starts.
      decideClear(slot, connection)
      return
    }
    guard connection.pointee.phase == .relaying else {
      // The downstream must not take an upstream that gave up in mid-handshake for an answer without a byte.
      if connection.pointee.phase == .handshaking, direction.source == .upstream {
        kernel.resetOnClose(connection.pointee.downstream)
      }
      close(slot, connection, direction.source == .downstream ? .downstreamClosed : .upstreamClosed)
      return
    }
    if let tls = connection.pointee.tls, tls.pointee.side == direction.source, !tls.pointee.session.endOfInputIsClean {
      close(slot, connection, .tlsTruncated)
      return
    }
    guard !resetWasSwallowed(connection, direction) else {
      closeReset(slot, connection, by: direction.source, errno: ECONNRESET)
      return
    }
    noteSourceEnded(connection, direction)
    if connection.half(direction).pointee.isDrained { drained(slot, connection, direction) }
  }

  /// Whether what reads as the end of a stream is a reset. A send that was under way when the reset came, and that had
  /// got rid of some bytes, reports those and takes the error along; from then on the socket reads as ended. It has no
  /// peer any more, though (getpeername(2): ENOTCONN), which a half-closed socket has.
  mutating func resetWasSwallowed(
    _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) -> Bool {
    let toSource = Direction.from(direction.sink)
    let opposite = connection.half(toSource)
    // A send whose completion is still to come may have been the one.
    let isSending = connection.pointee.inFlight.contains(.send(toSource))
    guard isSending || opposite.pointee.sinkIsSlow || opposite.pointee.pipeBytes > 0 else { return false }
    let source = connection.descriptor(direction.source)
    var storage = sockaddr_storage()
    return withUnsafeMutableBytes(of: &storage) { kernel.peerAddress(source, into: $0) } < 0
  }

  /// Passes the FIN on. The other direction lives until its own end.
  mutating func endSink(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    if sendCloseNotify(slot, connection, direction) { return }
    connection.half(direction).pointee.sinkEnded = true
    let bothEnded =
      connection.half(.toUpstream).pointee.sinkEnded && connection.half(.toDownstream).pointee.sinkEnded
    // Closing sends the FIN, but only when everything in flight has ended, too late for the last bytes that wait for it.
    if !bothEnded || connection.half(direction).pointee.isHeldBack {
      let result = kernel.shutdown(connection.descriptor(direction.sink), .write)
      guard result == 0 else {
        closeReset(slot, connection, by: direction.sink, errno: -result)
        return
      }
    }
    if bothEnded {
      close(slot, connection, connection.pointee.firstEnded == .downstream ? .downstreamClosed : .upstreamClosed)
      return
    }
    connection.pointee.lastActivityAt = kernel.now
    connection.pointee.settlingDueAt = min(connection.pointee.settlingDueAt, kernel.now &+ Self.halfCloseWatchDelay)
    setSilenceTimer(slot, connection)
  }

  /// Nobody reads from a side whose FIN came, or whose bytes the other side doesn't take: only a poll tells of its
  /// reset then; after a FIN it is armed with a delay, see `settleIn`. Armed once, it stays for the rest of the connection,
  /// so that a sink that is full now and then costs nothing more.
  mutating func watchForReset(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ side: Side
  ) {
    // Before the relay the upstream may be missing, or an attempt that fails and gives way to the next address.
    guard connection.pointee.phase == .relaying else { return }
    // A Unix socket hangs up when its peer closes in good order; a reset is no state of its own there.
    if side == .upstream && connection.pointee.upstreamAddress.family == AF_UNIX { return }
    if connection.pointee.inFlight.contains(.watch(side)) { return }
    kernel.submitPoll(
      connection.descriptor(side), for: .hangUp, token: begin(.watch(side), slot, connection))
  }

  mutating func watchCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ side: Side, events: Int32
  ) {
    guard events < 0 || events & Int32(POLLERR) != 0 else { return }
    // A direction that reads finds the reset by itself, behind the bytes that came before it.
    let direction = Direction.from(side)
    let isReading =
      connection.pointee.inFlight.contains(.receive(direction))
      || connection.pointee.inFlight.contains(.pollSource(direction))
    if isReading { return }
    closeReset(slot, connection, by: side, errno: ECONNRESET)
  }

  // MARK: Closing

  /// One side sent a reset or vanished; the other side gets a reset too, and learns that the stream was cut.
  mutating func closeReset(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, by side: Side, errno: Int32
  ) {
    connection.pointee.errno = errno
    close(slot, connection, side == .downstream ? .downstreamReset : .upstreamReset)
  }

  /// Begins the tear-down: cancel what is in flight, wait for every final completion, close, free the slot.
  mutating func close(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ reason: CloseReason) {
    precondition(connection.pointee.phase.isLive, "slot \(slot) is closed twice")
    if connection.pointee.phase == .handshaking { handshakeEnded(slot, connection, reason) }
    connection.pointee.phase = .closing
    connection.pointee.reason = reason
    connection.pointee.isUndecided = false
    settle(connection, .none)
    timers.clear(slot, in: connections)
    resetIfCut(connection, reason)
    for direction in [Direction.toUpstream, .toDownstream] {
      let half = connection.half(direction)
      leaveSpliced(half)
      release(half.pointee.waiting)
      half.pointee.waiting = .none
      if !connection.pointee.inFlight.contains(.send(direction)) { releaseSending(half) }
    }
    var inFlight = connection.pointee.inFlight
    while let operation = inFlight.popFirst() { cancel(operation, slot, connection) }
    finishClosing(slot, connection)
  }

  /// Has the closes send a reset in place of a FIN where the stream was cut and must not look complete. The encrypted
  /// side of a TLS failure is spared: its peer is to read the alert, and does not take a FIN for a clean end.
  private mutating func resetIfCut(_ connection: UnsafeMutablePointer<Connection>, _ reason: CloseReason) {
    guard reason.cutsStream || connection.holdsBytes else { return }
    let spared = reason.isTLSFailure ? connection.pointee.tls?.pointee.side : nil
    for side in [Side.downstream, .upstream] where side != spared {
      let descriptor = connection.descriptor(side)
      if descriptor.isOpen { kernel.resetOnClose(descriptor) }
    }
  }

  private mutating func releaseSending(_ half: UnsafeMutablePointer<HalfPipe>) {
    release(half.pointee.sending)
    half.pointee.sending = .none
  }

  /// Something that was in flight when the connection was torn down has completed.
  mutating func closingCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ operation: Operation, _ completion: Completion
  ) {
    if let buffer = completion.buffer { recycle(buffer) }
    let half = connection.half(operation.direction)
    if operation == .send(operation.direction) {
      // The sink's application reads these bytes: they count, though nobody waits for them here any more.
      if completion.result > 0 { countSentAtLast(connection, operation.direction, completion.result) }
      releaseSending(half)
    }
    if operation == .receive(operation.direction), let filling = half.pointee.filling {
      bulkBuffers.giveBack(filling)
      half.pointee.filling = nil
    }
    finishClosing(slot, connection)
  }

  private func countSentAtLast(
    _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, _ count: Int32
  ) {
    guard connection.isSealing(direction) else {
      countSent(connection, direction, count: Int(count), path: connection.sentPath)
      return
    }
    let sending = connection.half(direction).pointee.sending
    if sending.rest.count == count {
      countSent(connection, direction, count: Int(sending.sealed), path: .relayedTLSBytes)
    }
  }

  mutating func finishClosing(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    guard connection.pointee.inFlight.isEmpty else { return }
    discardBehindCloseNotify(connection)
    kernel.close(connection.pointee.downstream)
    if connection.pointee.upstream.isOpen { kernel.close(connection.pointee.upstream) }
    account(connection)
    if connection.pointee.tls != nil { hasFreedHeap = true }
    connection.freeTLS()
    connections.free(slot)
    links.budget.release()
    if isDraining, connections.usedCount == 0 { kernel.notify(links.controlWake) }
  }

  /// What a peer sends behind its close_notify is ignored (RFC 8446 section 6.1), and must not cut what is on its way to it.
  private mutating func discardBehindCloseNotify(_ connection: UnsafeMutablePointer<Connection>) {
    guard let tls = connection.pointee.tls, tls.pointee.session.endOfInputIsClean,
      !connection.pointee.reason.cutsStream
    else { return }
    kernel.discardInput(connection.descriptor(tls.pointee.side))
  }

  /// Counts the end of a connection and tells the access log.
  private mutating func account(_ connection: UnsafeMutablePointer<Connection>) {
    let series = connection.pointee.series
    metrics.add(series + WorkerMetrics.closedOffset + Int(connection.pointee.reason.rawValue))
    lifetimeLayout.record(
      nanoseconds: kernel.now &- connection.pointee.acceptedAt, in: metrics,
      at: series + WorkerMetrics.durationOffset)
    guard let accessLog = links.accessLog else { return }
    let tls = connection.pointee.tls
    let summary = tls?.pointee.summary
    let record = AccessRecord(
      listener: ListenerID(rawValue: Int(connection.pointee.listener)), reason: connection.pointee.reason,
      errno: connection.pointee.errno, encryption: connection.pointee.encryption,
      tlsFailure: connection.pointee.tlsFailure, denial: connection.pointee.denial,
      // Before the end of the handshake a name may be there that is claimed and not proved.
      principal: summary == nil ? nil : (tls?.pointee.session.peer?.uri).map(PrincipalBytes.init), tls: summary,
      downstream: connection.pointee.downstreamAddress, upstream: connection.pointee.upstreamAddress,
      acceptedAt: connection.pointee.acceptedAt, connectedAt: connection.pointee.connectedAt,
      firstByteAt: connection.pointee.firstByteAt, closedAt: kernel.now,
      receivedBytes: connection.half(.toUpstream).pointee.bytesIn,
      sentBytes: connection.half(.toDownstream).pointee.bytesOut)
    if accessLog.push(record) { kernel.notify(accessLog.wakeDescriptor) }
  }
}

extension UnsafeMutablePointer<Connection> {
  /// Bytes were read that their sink has not taken: a stream that ends now is cut, whatever ended it.
  fileprivate var holdsBytes: Bool {
    [Direction.toUpstream, .toDownstream].contains { !half($0).pointee.isDrained || half($0).pointee.pipeBytes > 0 }
  }
}

extension CloseReason {
  /// Whether a stream may have been cut short, so that no side must take it for complete.
  var cutsStream: Bool {
    switch self {
    case .downstreamClosed, .upstreamClosed, .idleTimeout: false
    case .downstreamReset, .upstreamReset, .connectRefused, .connectTimeout, .connectUnreachable, .connectFailed,
      .resolveFailed, .connectLoop, .descriptorsExhausted, .tlsHandshakeFailed, .handshakeTimeout, .handshakeLimit,
      .tlsFailed, .tlsTruncated, .denied, .upstreamIdentityUnexpected, .halfCloseTimeout, .drainDeadline, .shutdown:
      true
    }
  }

  var isTLSFailure: Bool { self == .tlsHandshakeFailed || self == .tlsFailed }
}
