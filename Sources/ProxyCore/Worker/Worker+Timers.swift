// Connection timeouts. Each connection has one timer; what it means depends on the phase. A timer isn't moved for each
// message: when it fires, the time of the last byte tells whether it fired for good.

import Glibc

extension Worker where K: ~Copyable {
  mutating func expireTimers() {
    while let slot = timers.popExpired(now: kernel.now, in: connections) {
      timerFired(slot, connections[slot])
    }
    if kernel.now >= acceptRetryAt { retryAccepting() }
    if kernel.now >= listenersCloseAt { closeEmptiedListeners(by: kernel.now) }
  }

  private mutating func timerFired(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    switch connection.pointee.phase {
    case .handshaking:
      handshakeTimedOut(slot, connection)
    case .connecting:
      connectTimerFired(slot, connection)
    case .detecting:
      detectionTimedOut(slot, connection)
    case .relaying:
      let (deadline, reason) = silenceDeadline(connection)
      if kernel.now >= deadline {
        if isStillDelivered(slot, connection, timeout: deadline &- connection.pointee.lastActivityAt) { return }
        close(slot, connection, reason)
      } else {
        if kernel.now >= connection.pointee.settlingDueAt { settleIn(slot, connection) }
        setSilenceTimer(slot, connection)
      }
    case .free, .closing:
      break
    }
  }

  /// Sets the timer for as long as the connection may stay silent from its last byte on, or until it is to settle in.
  mutating func setSilenceTimer(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    let deadline = min(silenceDeadline(connection).deadline, connection.pointee.settlingDueAt)
    timers.set(slot, deadline: deadline, in: connections)
  }

  // MARK: Slow readers

  /// Nanoseconds at the most between two looks at whether a reader that nothing was sent to for so long takes what was sent before.
  private static var lookInterval: UInt64 { 10_000_000_000 }

  /// Whether the silence is none: the kernel's send buffers hold megabytes, which a slow reader takes minutes for, and until a
  /// third of them is free again no byte moves here. Sets the timer to look again, or for the silence that begins now.
  private mutating func isStillDelivered(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, timeout: UInt64
  ) -> Bool {
    let upstream = kernel.deliveredBytes(connection.pointee.upstream)
    let downstream = kernel.deliveredBytes(connection.pointee.downstream)
    let delivered = UInt32(truncatingIfNeeded: (upstream ?? 0) &+ (downstream ?? 0))
    let silence = UInt32(truncatingIfNeeded: connection.pointee.lastActivityAt)
    let hasLooked = connection.pointee.silenceAtLook == silence
    let hasMoved = connection.pointee.deliveredAtLook != delivered
    connection.pointee.silenceAtLook = silence
    connection.pointee.deliveredAtLook = delivered
    if hasLooked, hasMoved {
      connection.pointee.lastActivityAt = kernel.now
      setSilenceTimer(slot, connection)
      return true
    }
    guard !hasLooked, upstream != nil || downstream != nil else { return false }
    timers.set(slot, deadline: kernel.now.addingSaturated(min(Self.lookInterval, timeout)), in: connections)
    return true
  }

  // MARK: Settling in

  // What only lasting connections need is done once they have lasted: a connection that carries one request is spared
  // some six system calls.

  /// Nanoseconds of relaying before the upstream is kept alive; the first probe would come after a minute anyway. The
  /// downstream inherits its options from the listening socket for nothing.
  static var keepAliveDelay: UInt64 { 10_000_000_000 }
  /// Nanoseconds between a half-close and the watch for a reset of the side whose FIN came: most connections have ended
  /// altogether by then.
  static var halfCloseWatchDelay: UInt64 { 50_000_000 }

  private mutating func settleIn(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.settlingDueAt = .max
    for direction in [Direction.toUpstream, .toDownstream] where connection.half(direction).pointee.sinkEnded {
      watchForReset(slot, connection, direction.source)
    }
    let keepAliveDueAt = connection.pointee.connectedAt.addingSaturated(Self.keepAliveDelay)
    if kernel.now < keepAliveDueAt {
      connection.pointee.settlingDueAt = keepAliveDueAt
    } else if connection.pointee.upstreamAddress.family != AF_UNIX {
      kernel.keepAlive(connection.pointee.upstream)
    }
  }

  private func silenceDeadline(
    _ connection: UnsafeMutablePointer<Connection>
  ) -> (deadline: UInt64, reason: CloseReason) {
    let halfClosed = connection.half(.toUpstream).pointee.sinkEnded || connection.half(.toDownstream).pointee.sinkEnded
    let isHalfCloseSooner = halfClosed && settings.halfCloseTimeout < settings.idleTimeout
    let timeout = isHalfCloseSooner ? settings.halfCloseTimeout : settings.idleTimeout
    let deadline = connection.pointee.lastActivityAt.addingSaturated(timeout)
    return (deadline, isHalfCloseSooner ? .halfCloseTimeout : .idleTimeout)
  }
}

extension UInt64 {
  /// A time and a span from it on; `.max`, which is never, when that is out of reach. A timeout may be `.max` itself.
  func addingSaturated(_ span: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(span)
    return overflow ? .max : sum
  }
}
