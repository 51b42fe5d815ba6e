// Connection timeouts. Each connection has one timer; what it means depends on the phase. A timer isn't moved for each
// message: when it fires, the time of the last byte tells whether it fired for good.

extension Worker where K: ~Copyable {
  mutating func expireTimers() {
    while let slot = timers.popExpired(now: kernel.now, in: connections) {
      timerFired(slot, connections[slot])
    }
    if kernel.now >= acceptRetryAt { retryAccepting() }
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
        close(slot, connection, reason)
      } else {
        timers.set(slot, deadline: deadline, in: connections)
      }
    case .free, .closing:
      break
    }
  }

  /// Sets the timer for as long as the connection may stay silent from its last byte on.
  mutating func setSilenceTimer(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    timers.set(slot, deadline: silenceDeadline(connection).deadline, in: connections)
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
