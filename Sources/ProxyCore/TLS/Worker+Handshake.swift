// TLS handshakes: inbound before anything is connected to the app, outbound after the upstream is connected. A handshake
// is the dearest thing that a stranger can ask for, so that three bounds hold: its time, how many are in progress (see
// `HandshakeAdmission`), and a share of a turn of the loop, behind everything that established connections have to send,
// which keeps them served through a flood.

import IOUring

extension Worker where K: ~Copyable {
  // MARK: Beginning

  /// A strict listener's connection: the peer proves its identity first.
  mutating func beginInboundHandshake(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    startHandshakeClock(slot, connection)
    submitReceive(slot, connection, .toUpstream)
    if let victim = handshakes.arrived(slot, share: links.budget.share, in: connections) {
      close(victim, connections[victim], .handshakeLimit)
    }
  }

  /// The upstream is connected and a mesh rule asks for TLS: our hello goes first.
  mutating func beginOutboundHandshake(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, rules: MeshRules, rule: Int
  ) {
    startHandshakeClock(slot, connection)
    guard outboundHandshakesInProgress < outboundHandshakesMax else {
      close(slot, connection, .handshakeLimit)
      return
    }
    let destination = connection.pointee.upstreamAddress.socketAddress
    let key = destination.map { TicketKey(destination: $0, expectation: rules.expectation(rule: rule)) }
    guard makeSession(connection, .upstream, ticketKey: key, meshRule: (rules, rule)) else {
      handshakeFailed(slot, connection, .internalError)
      return
    }
    outboundHandshakesInProgress += 1
    queueHandshake(slot, connection, .toDownstream)
  }

  /// A permissive listener's connection that turned out to be ours; its hello waits.
  mutating func beginDetectedHandshake(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    startHandshakeClock(slot, connection)
    if admitHandshake(slot, connection) { queueHandshake(slot, connection, .toUpstream) }
  }

  private mutating func startHandshakeClock(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.phase = .handshaking
    timers.set(slot, deadline: kernel.now.addingSaturated(settings.handshakeTimeout), in: connections)
  }

  /// A peer's first bytes are there. False when there is no room for its handshake; the connection is closed then.
  private mutating func admitHandshake(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
    switch handshakes.begin(slot, share: links.budget.share, now: kernel.now, in: connections) {
    case .admitted:
      return true
    case .admittedInPlaceOf(let victim):
      close(victim, connections[victim], .handshakeLimit)
      return true
    case .refused:
      close(slot, connection, .handshakeLimit)
      return false
    }
  }

  /// False without an identity, which the configuration rules out, and when memory is short.
  private mutating func makeSession(
    _ connection: UnsafeMutablePointer<Connection>, _ side: Side, ticketKey: TicketKey? = nil,
    meshRule: (rules: MeshRules, index: Int)? = nil
  ) -> Bool {
    // A client looks for a ticket that still holds.
    tlsEngine.now = kernel.wallClockSeconds()
    guard let identity,
      let session = TLSSession(
        identity, role: side == .downstream ? .server : .client, engine: tlsEngine, ticketKey: ticketKey)
    else { return false }
    let tls = UnsafeMutablePointer<TLSConnection>.allocate(capacity: 1)
    tls.initialize(to: TLSConnection(session: session, side: side, meshRule: meshRule, now: kernel.now))
    connection.pointee.tls = tls
    return true
  }

  // MARK: Going on

  /// Bytes came before the relay began.
  mutating func handshakeReceived(
    _ piece: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    if connection.pointee.isUndecided {
      detectionReceived(piece, slot, connection, direction)
      return
    }
    connection.half(direction).pointee.waiting = piece
    // A session that waits for its first step is an inbound one.
    if direction.source != connection.pointee.tls?.pointee.side ?? .downstream {
      // The app spoke while the peer is still proving who it is.
      moveToChunk(&connection.half(direction).pointee.waiting)
      return
    }
    if connection.pointee.handshake.stage == .silent {
      guard admitHandshake(slot, connection) else { return }
    } else {
      handshakes.peerAnswered(slot, in: connections)
    }
    queueHandshake(slot, connection, direction)
  }

  /// A handshake is to go on when its turn comes. `direction` is where its input comes from; nothing is being received
  /// there.
  private mutating func queueHandshake(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    moveToChunk(&connection.half(direction).pointee.waiting)
    handshakeQueue.append(slot, direction, in: connections)
  }

  /// Nanoseconds of a turn within which steps of handshakes are begun.
  private static var handshakeShare: UInt64 { 400_000 }

  /// Takes a step of the handshake that has waited for the longest time, and of those behind it, until they have had their
  /// share of the turn: what they send goes out together, and their code stays in the caches. A step costs up to about 0.4 ms
  /// (a signature, a key exchange, two or three verifications; `TLSContext.peerChainSizeMax` bounds what a hostile peer can
  /// make of it), a fifth of that in a handshake that resumes. So an established connection never waits for more than the share
  /// and one step.
  mutating func advanceQueuedHandshakes() {
    // Last bytes wait for their end, which the next turn tells: it comes first, but not in two turns in a row.
    let giveWay = hasHeldBack && !handshakesGaveWay && !handshakeQueue.isEmpty
    hasHeldBack = false
    handshakesGaveWay = giveWay
    guard !handshakeQueue.isEmpty, !giveWay else { return }
    kernel.submit()
    kernel.readClock()
    let begun = kernel.now
    repeat {
      guard let (slot, _) = handshakeQueue.popFirst(in: connections) else { return }
      let connection = connections[slot]
      if connection.pointee.phase == .closing {
        finishClosing(slot, connection)
      } else {
        advanceHandshake(slot, connection)
      }
      kernel.readClock()
    } while kernel.now &- begun < Self.handshakeShare
  }

  /// Something was sent before the relay began: the handshake may wait for the room.
  mutating func handshakeSent(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    guard connection.pointee.phase == .handshaking, let tls = connection.pointee.tls else { return }
    let receiving = Direction.from(tls.pointee.side)
    // What waits in the queue goes on from there; it counts as being received.
    guard !connection.half(receiving).pointee.waiting.isEmpty,
      !connection.pointee.inFlight.contains(.receive(receiving))
    else { return }
    queueHandshake(slot, connection, receiving)
  }

  /// One step: reads what waits, sends what libssl has to say to it.
  private mutating func advanceHandshake(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.pointee.tls == nil, !makeSession(connection, .downstream) {
      handshakeFailed(slot, connection, .internalError)
      return
    }
    guard let tls = connection.pointee.tls else { return }
    let receiving = Direction.from(tls.pointee.side)
    let sending = Direction.from(tls.pointee.side.other)
    // While a flight is on its way the input waits; `handshakeSent` comes back here.
    guard connection.half(sending).pointee.sending.isEmpty else {
      moveToChunk(&connection.half(receiving).pointee.waiting)
      return
    }
    guard let chunk = chunks.take() else {
      handshakeFailed(slot, connection, .outOfMemory)
      return
    }
    tlsEngine.now = kernel.wallClockSeconds()
    let input = connection.half(receiving).pointee.waiting
    connection.half(receiving).pointee.waiting = .none
    var ciphertext = InputWindow(input.rest)
    var records = OutputWindow(UnsafeMutableRawBufferPointer(start: chunk, count: chunks.chunkSize))
    let outcome = tls.pointee.session.handshake(input: &ciphertext, output: &records)

    let output = Piece(base: chunk, count: UInt32(truncatingIfNeeded: records.count), home: .chunk)
    if records.count > 0 {
      // What the app has said already goes with the end of the handshake, in one segment.
      let isBeforeMore =
        outcome == .complete && tls.pointee.side == .upstream && kernel.isReadable(connection.pointee.downstream)
      send(output, slot, connection, sending, mode: isBeforeMore ? .immediateBeforeMore : .immediate)
    } else {
      release(output)
    }

    switch outcome {
    case .needsInput:
      release(input)
      handshakes.awaitsPeer(slot, in: connections)
      submitReceive(slot, connection, receiving)
    case .needsOutput:
      connection.half(receiving).pointee.waiting = input.advanced(toRest: ciphertext.count)
    case .complete:
      if ciphertext.isEmpty {
        release(input)
      } else {
        connection.half(receiving).pointee.waiting = input.advanced(toRest: ciphertext.count)
        // It is read once the other side is there, which may take a while.
        moveToChunk(&connection.half(receiving).pointee.waiting)
      }
      handshakeCompleted(slot, connection, tls)
    case .failed(let failure):
      release(input)
      handshakeFailed(slot, connection, failure)
    }
  }

  // MARK: Ending

  private mutating func handshakeCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSConnection>
  ) {
    leaveHandshake(slot, connection)
    // The last step is the dearest, and belongs to it.
    kernel.readClock()
    tls.pointee.handshakeCompletedAt = kernel.now
    countHandshake(connection, .succeeded(resumed: tls.pointee.session.agreement?.isResumed ?? false))
    latencyLayout.record(
      nanoseconds: kernel.now &- tls.pointee.handshakeStartedAt, in: metrics,
      at: connection.pointee.series + WorkerMetrics.handshakeDurationOffset)
    connection.pointee.phase = .connecting
    guard let (rules, index) = tls.pointee.meshRule else {
      inboundPeerProved(slot, connection)
      return
    }
    guard let peer = tls.pointee.session.peer, rules.expects(peer.uri, rule: index) else {
      close(slot, connection, .upstreamIdentityUnexpected)
      return
    }
    startRelay(slot, connection)
  }

  private mutating func inboundPeerProved(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    guard connection.pointee.upstream.isOpen else {
      connectUpstream(slot, connection)
      return
    }
    // A permissive listener has connected, or is about to be.
    guard authorize(slot, connection) else { return }
    if connection.pointee.connectedAt != 0 {
      startRelay(slot, connection)
    } else if connection.pointee.inFlight.contains(.connect) {
      setConnectTimer(slot, connection)
    } else {
      // A Unix socket whose backlog was full; how long the handshake took is not the app's fault.
      connection.pointee.connectStartedAt = kernel.now
      submitConnect(slot, connection)
    }
  }

  private mutating func handshakeFailed(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ failure: TLSFailure
  ) {
    connection.pointee.tlsFailure = failure
    countHandshake(connection, .failed(failure))
    close(slot, connection, .tlsHandshakeFailed)
  }

  mutating func handshakeTimedOut(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    countHandshake(connection, .timeout)
    close(slot, connection, .handshakeTimeout)
  }

  /// A connection closes in the middle of its handshake. What is not counted yet was broken off: the peer went away,
  /// the app behind a permissive listener can't be reached, there was no room for it, or the proxy ends.
  mutating func handshakeEnded(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ reason: CloseReason
  ) {
    leaveHandshake(slot, connection)
    if reason != .tlsHandshakeFailed, reason != .handshakeTimeout { countHandshake(connection, .aborted) }
  }

  private mutating func leaveHandshake(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    hasFreedHeap = true
    if connection.pointee.tls?.pointee.side == .upstream {
      outboundHandshakesInProgress -= 1
    } else {
      handshakes.leave(slot, in: connections)
    }
  }

  private func countHandshake(_ connection: UnsafeMutablePointer<Connection>, _ result: WorkerMetrics.Handshake) {
    metrics.add(connection.pointee.series + WorkerMetrics.handshakeOffset + result.offset)
  }
}
