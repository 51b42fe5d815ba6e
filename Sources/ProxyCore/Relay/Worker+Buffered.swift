// The relay of messages: receive into a shared buffer, pass it on, give it back. In the clear one message costs one
// receive and one send, and no copy in user space. On a TLS connection `Worker+TLS.swift` stands between the receive and
// the send.

import Glibc
import IOUring

extension Worker where K: ~Copyable {
  /// Receives in a row that fill a whole buffer and leave more behind: bulk.
  private static var bulkVotes: UInt8 { 3 }

  /// The upstream is there and the peers are known: bytes may move both ways.
  mutating func startRelay(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.phase = .relaying
    connection.pointee.lastActivityAt = kernel.now
    connection.pointee.settlingDueAt = connection.pointee.connectedAt &+ Self.keepAliveDelay
    setSilenceTimer(slot, connection)
    // A client that spoke while we connected has bytes waiting; a server that speaks first is still about to.
    connection.half(.toUpstream).pointee.sourceHasMore = true
    for direction in [Direction.toUpstream, .toDownstream] {
      passOnWaiting(slot, connection, direction)
      guard connection.pointee.phase == .relaying else { return }
      // A client of a permissive listener may have half-closed while we connected. One whose close_notify was among
      // what waited has had its end passed on above, and a second shutdown would fail once the upstream has ended too.
      let half = connection.half(direction)
      if half.pointee.sourceEnded, !half.pointee.sinkEnded, half.pointee.isDrained {
        drained(slot, connection, direction)
      }
      guard connection.pointee.phase == .relaying else { return }
      // The end of a TLS handshake may still be on its way to a slow peer.
      if half.pointee.sinkIsSlow { watchForReset(slot, connection, direction.source) }
    }
  }

  // MARK: Receiving

  mutating func receiveCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, _ completion: Completion
  ) {
    let half = connection.half(direction)
    guard completion.result > 0 else {
      if let buffer = completion.buffer { recycle(buffer) }
      if let filling = half.pointee.filling { bulkBuffers.giveBack(filling) }
      half.pointee.filling = nil
      receiveEnded(slot, connection, direction, error: -completion.result)
      return
    }
    let count = UInt32(truncatingIfNeeded: completion.result)
    let hasMore = completion.flags.contains(.socketNonEmpty)
    half.pointee.sourceHasMore = hasMore
    connection.pointee.lastActivityAt = kernel.now

    let piece: Piece
    if let buffer = completion.buffer {
      piece = Piece(base: kernel.receiveBuffer(buffer), count: count, buffer: buffer, home: .buffer)
      let isFull = hasMore && Int(count) == kernel.receiveBufferSize
      half.pointee.modeVotes = isFull ? half.pointee.modeVotes &+ 1 : 0
    } else {
      piece = Piece(base: half.pointee.filling, count: count, home: .bulk)
      half.pointee.filling = nil
      half.pointee.modeVotes = Int(count) < Self.smallTransfer ? half.pointee.modeVotes &+ 1 : 0
    }
    if connection.pointee.phase == .relaying {
      if completion.flags.contains(.lastBytes) { lastBytesCame(connection, direction) }
      received(piece, slot, connection, direction)
    } else {
      handshakeReceived(piece, slot, connection, direction)
    }
  }

  /// The source's FIN is known along with its last bytes, and goes on in one segment with them. On the encrypted side only
  /// close_notify tells of an end.
  private mutating func lastBytesCame(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    guard connection.pointee.tls?.pointee.side != direction.source, !resetWasSwallowed(connection, direction) else {
      return
    }
    noteSourceEnded(connection, direction)
  }

  @inline(__always)
  private mutating func received(
    _ piece: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    guard half.pointee.sending.isEmpty else {
      half.pointee.waiting = piece
      // Shared buffers must not wait for a slow sink.
      if half.pointee.sinkIsSlow { moveToChunk(&half.pointee.waiting) }
      return
    }
    passOn(piece, slot, connection, direction)
    continueReading(slot, connection, direction)
  }

  /// Receives again, unless something has to happen first: a piece to be passed on, the end, or the change to bulk.
  @inline(__always)
  mutating func continueReading(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    guard connection.pointee.phase == .relaying, half.pointee.mode == .buffered, half.pointee.waiting.isEmpty,
      !half.pointee.sourceEnded, half.pointee.modeVotes < Self.bulkVotes,
      !connection.pointee.inFlight.contains(.receive(direction))
    else { return }
    submitReceive(slot, connection, direction)
  }

  @inline(__always)
  mutating func submitReceive(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let token = begin(.receive(direction), slot, connection)
    kernel.submitReceive(
      connection.descriptor(direction.source), expectsData: connection.half(direction).pointee.sourceHasMore,
      token: token)
  }

  private mutating func receiveEnded(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, error: Int32
  ) {
    switch error {
    case 0:
      endOfStream(slot, connection, direction)
    case ENOBUFS:
      metrics.add(WorkerMetrics.Cell.receivesStarved.rawValue)
      // The end of a handshake may wait for what this receive was to bring.
      if connection.pointee.tls?.pointee.side == direction.sink {
        kernel.sendHeldBack(connection.descriptor(direction.sink))
      }
      starved.append(slot, direction, in: connections)
    case EAGAIN, EINTR:
      connection.half(direction).pointee.sourceHasMore = false
      if connection.half(direction).pointee.mode == .copied {
        submitPoll(slot, connection, direction, .pollSource(direction), on: direction.source, for: .readable)
      } else {
        submitReceive(slot, connection, direction)
      }
    default:
      closeReset(slot, connection, by: direction.source, errno: error)
    }
  }

  /// Lets half-pipes receive that found no buffer, as many as there are buffers now.
  mutating func feedStarved() {
    var free = kernel.receiveBufferCount - buffersInUse
    while free > 0, let (slot, direction) = starved.popFirst(in: connections) {
      let connection = connections[slot]
      if connection.pointee.phase == .closing {
        finishClosing(slot, connection)
      } else {
        free -= 1
        connection.half(direction).pointee.sourceHasMore = true
        submitReceive(slot, connection, direction)
      }
    }
  }

  @inline(__always)
  func countReceived(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, count: Int) {
    let bytes = UInt64(truncatingIfNeeded: count)
    connection.half(direction).pointee.bytesIn &+= bytes
    switch direction {
    case .toUpstream:
      metrics.add(connection.pointee.series &+ WorkerMetrics.SeriesCell.receivedBytes.rawValue, bytes)
    case .toDownstream:
      if connection.pointee.firstByteAt == 0 { connection.pointee.firstByteAt = kernel.now }
    }
  }

  // MARK: Sending

  /// Passes a piece on while nothing is being sent.
  @inline(__always)
  private mutating func passOn(
    _ piece: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    if connection.pointee.tls != nil {
      transform(piece, slot, connection, direction)
    } else {
      countReceived(connection, direction, count: Int(piece.count))
      send(piece, slot, connection, direction, mode: mode(ofLast: connection.half(direction)))
    }
  }

  /// Passes on what waits, if anything does, and goes on reading.
  mutating func passOnWaiting(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    if half.pointee.sending.isEmpty, !half.pointee.waiting.isEmpty {
      let piece = half.pointee.waiting
      half.pointee.waiting = .none
      passOn(piece, slot, connection, direction)
    }
    continueReading(slot, connection, direction)
  }

  @inline(__always)
  mutating func send(
    _ piece: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction,
    mode: SendMode = .immediate
  ) {
    connection.half(direction).pointee.sending = piece
    kernel.submitSend(
      connection.descriptor(direction.sink), piece.rest, mode: mode, token: begin(.send(direction), slot, connection))
  }

  /// How the piece goes that was read last. Behind the last one of all the end follows in the next turn, and goes in the same
  /// segment.
  @inline(__always)
  mutating func mode(ofLast half: UnsafeMutablePointer<HalfPipe>) -> SendMode {
    guard half.pointee.sourceEnded else { return .immediate }
    half.pointee.isHeldBack = true
    hasHeldBack = true
    return .immediateBeforeMore
  }

  mutating func sendCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, result: Int32
  ) {
    let half = connection.half(direction)
    let taken: UInt32
    switch result {
    case 0...: taken = UInt32(truncatingIfNeeded: result)
    case -EAGAIN, -EINTR, -ENOBUFS: taken = 0
    default:
      closeReset(slot, connection, by: direction.sink, errno: -result)
      return
    }
    half.pointee.sending.taken &+= taken
    let isSealing = connection.isSealing(direction)
    if !isSealing { countSent(connection, direction, count: Int(taken), path: connection.sentPath) }
    if half.pointee.sending.taken < half.pointee.sending.count {
      sendRest(slot, connection, direction)
      return
    }
    // Of a part of what is sealed nobody could say how much of it is of use.
    if isSealing {
      countSent(connection, direction, count: Int(half.pointee.sending.sealed), path: .relayedTLSBytes)
    }
    release(half.pointee.sending)
    half.pointee.sending = .none
    half.pointee.sinkIsSlow = false
    sent(slot, connection, direction)
  }

  /// A piece has gone out whole.
  @inline(__always)
  private mutating func sent(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    guard connection.pointee.phase == .relaying else {
      handshakeSent(slot, connection)
      return
    }
    if connection.half(direction).pointee.waiting.isEmpty {
      drained(slot, connection, direction)
    } else {
      passOnWaiting(slot, connection, direction)
    }
    if connection.pointee.phase == .relaying, connection.isSealing(direction) { sealedPieceSent(slot, connection) }
  }

  /// The sink did not take all: what is left waits in private memory, so that the shared buffers go back at once.
  private mutating func sendRest(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    half.pointee.sinkIsSlow = true
    moveToChunk(&half.pointee.sending)
    moveToChunk(&half.pointee.waiting)
    kernel.submitSend(
      connection.descriptor(direction.sink), half.pointee.sending.rest, mode: .complete,
      token: begin(.send(direction), slot, connection))
    watchForReset(slot, connection, direction.source)
  }

  /// Copies what is left of a piece out of its shared buffer. Where no chunk is left it stays there.
  mutating func moveToChunk(_ piece: inout Piece) {
    guard piece.home == .buffer, let chunk = chunks.take() else { return }
    let rest = piece.rest
    if let source = rest.baseAddress { chunk.copyMemory(from: source, byteCount: rest.count) }
    recycle(piece.buffer)
    piece = Piece(base: chunk, count: UInt32(truncatingIfNeeded: rest.count), sealed: piece.sealed, home: .chunk)
  }

  @inline(__always)
  func countSent(
    _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, count: Int,
    path: WorkerMetrics.SeriesCell
  ) {
    let bytes = UInt64(truncatingIfNeeded: count)
    connection.half(direction).pointee.bytesOut &+= bytes
    connection.pointee.lastActivityAt = kernel.now
    let series = connection.pointee.series
    metrics.add(series &+ path.rawValue, bytes)
    if direction == .toDownstream {
      metrics.add(series &+ WorkerMetrics.SeriesCell.sentBytes.rawValue, bytes)
    }
  }

  // MARK: Nothing held

  /// All that was read has been passed on. What next: the end, more of the same, or the change to bulk.
  mutating func drained(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    if half.pointee.sourceEnded {
      endSink(slot, connection, direction)
    } else if half.pointee.mode == .copied {
      continueCopying(slot, connection, direction)
    } else if half.pointee.modeVotes >= Self.bulkVotes, !connection.pointee.inFlight.contains(.receive(direction)) {
      enterBulk(slot, connection, direction)
    } else {
      continueReading(slot, connection, direction)
    }
  }
}

extension UnsafeMutablePointer<Connection> {
  /// Under which path bytes count that small pieces carry.
  @inline(__always)
  var sentPath: WorkerMetrics.SeriesCell { pointee.tls == nil ? .relayedBufferedBytes : .relayedTLSBytes }
}
