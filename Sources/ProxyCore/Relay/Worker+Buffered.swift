// The relay of small messages: receive into a provided buffer, send from it, give it back. One message costs one
// receive and one send in one entry into the kernel, and no copy in user space.

import Glibc
import IOUring

extension Worker where K: ~Copyable {
  /// Receives in a row that fill a whole buffer and leave more behind: bulk.
  private static var bulkVotes: UInt8 { 3 }

  /// The upstream is there: bytes may move both ways.
  mutating func startRelay(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.phase = .relaying
    connection.pointee.lastActivityAt = kernel.now
    setSilenceTimer(slot, connection)
    // A client that spoke while we connected has bytes waiting; a server that speaks first is still about to.
    submitReceive(slot, connection, .toUpstream, expectsData: true)
    submitReceive(slot, connection, .toDownstream, expectsData: false)
  }

  @inline(__always)
  mutating func submitReceive(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, expectsData: Bool
  ) {
    let token = begin(.receive(direction), slot, connection)
    kernel.submitReceive(connection.descriptor(direction.source), expectsData: expectsData, token: token)
  }

  // MARK: Receiving

  mutating func receiveCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, _ completion: Completion
  ) {
    let half = connection.half(direction)
    guard completion.result > 0 else {
      if let buffer = completion.buffer { recycle(buffer) }
      receiveEnded(slot, connection, direction, error: -completion.result)
      return
    }
    let count = UInt32(truncatingIfNeeded: completion.result)
    countReceived(connection, direction, count: Int(count))
    guard let buffer = completion.buffer else {
      bulkReceived(slot, connection, direction, count: count)
      return
    }
    var piece = Piece(
      base: kernel.receiveBuffer(buffer), sent: 0, count: count, buffer: buffer, home: .buffer)

    let hasMore = completion.flags.contains(.socketNonEmpty)
    if hasMore && Int(count) == kernel.receiveBufferSize {
      half.pointee.modeVotes &+= 1
    } else {
      half.pointee.modeVotes = 0
    }
    if half.pointee.sending.isEmpty {
      send(piece, slot, connection, direction)
      receiveMore(slot, connection, direction, expectsData: hasMore)
    } else {
      // The sink is slow. Shared buffers must not wait for it.
      if half.pointee.sending.home == .chunk { moveToChunk(&piece) }
      half.pointee.waiting = piece
    }
  }

  /// Reads ahead while a piece is being sent; or stops reading so that the half-pipe drains and turns to bulk.
  @inline(__always)
  private mutating func receiveMore(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, expectsData: Bool
  ) {
    let half = connection.half(direction)
    if half.pointee.modeVotes >= Self.bulkVotes || half.pointee.sourceEnded { return }
    submitReceive(slot, connection, direction, expectsData: expectsData)
  }

  private mutating func receiveEnded(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, error: Int32
  ) {
    switch error {
    case 0:
      sourceEnded(slot, connection, direction)
    case ENOBUFS:
      metrics.add(WorkerMetrics.Cell.receivesStarved.rawValue)
      connection.pointee.inFlight.insert(.receive(direction))
      starved.append(slot, direction, in: connections)
    case EAGAIN, EINTR:
      submitReceive(slot, connection, direction, expectsData: false)
    default:
      closeReset(slot, connection, by: direction.source, errno: error)
    }
  }

  /// Lets half-pipes receive that found no buffer, as many as there are buffers now.
  mutating func feedStarved() {
    var free = kernel.receiveBufferCount - buffersInUse
    while free > 0, let (slot, direction) = starved.popFirst(in: connections) {
      let connection = connections[slot]
      connection.pointee.inFlight.remove(.receive(direction))
      if connection.pointee.phase == .closing {
        finishClosing(slot, connection)
      } else {
        free -= 1
        submitReceive(slot, connection, direction, expectsData: true)
      }
    }
  }

  @inline(__always)
  func countReceived(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, count: Int) {
    let bytes = UInt64(truncatingIfNeeded: count)
    connection.half(direction).pointee.bytesIn &+= bytes
    connection.pointee.lastActivityAt = kernel.now
    switch direction {
    case .toUpstream:
      metrics.add(connection.pointee.series &+ WorkerMetrics.SeriesCell.receivedBytes.rawValue, bytes)
    case .toDownstream:
      if connection.pointee.firstByteAt == 0 { connection.pointee.firstByteAt = kernel.now }
    }
  }

  // MARK: Sending

  @inline(__always)
  private mutating func send(
    _ piece: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    connection.half(direction).pointee.sending = piece
    kernel.submitSend(
      connection.descriptor(direction.sink), piece.unsent, mode: .immediate,
      token: begin(.send(direction), slot, connection))
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
    countSent(connection, direction, count: Int(taken), path: .relayedBufferedBytes)
    half.pointee.sending.sent &+= taken
    if half.pointee.sending.sent < half.pointee.sending.count {
      sendRest(slot, connection, direction)
      return
    }
    release(half.pointee.sending)
    half.pointee.sending = .none
    if !half.pointee.waiting.isEmpty {
      let piece = half.pointee.waiting
      half.pointee.waiting = .none
      send(piece, slot, connection, direction)
      receiveMore(slot, connection, direction, expectsData: true)
    } else {
      drained(slot, connection, direction)
    }
  }

  /// The sink did not take all: what is left waits in private memory, so that the shared buffers go back at once.
  private mutating func sendRest(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    moveToChunk(&half.pointee.sending)
    moveToChunk(&half.pointee.waiting)
    kernel.submitSend(
      connection.descriptor(direction.sink), half.pointee.sending.unsent, mode: .complete,
      token: begin(.send(direction), slot, connection))
  }

  /// Copies what is unsent of a piece out of its shared buffer. Where no chunk is left it stays there.
  private mutating func moveToChunk(_ piece: inout Piece) {
    guard piece.home == .buffer, let chunk = chunks.take() else { return }
    let unsent = piece.unsent
    if let source = unsent.baseAddress { chunk.copyMemory(from: source, byteCount: unsent.count) }
    recycle(piece.buffer)
    piece = Piece(
      base: chunk, sent: 0, count: UInt32(truncatingIfNeeded: unsent.count), buffer: piece.buffer, home: .chunk)
  }

  @inline(__always)
  func countSent(
    _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, count: Int,
    path: WorkerMetrics.SeriesCell
  ) {
    let bytes = UInt64(truncatingIfNeeded: count)
    connection.half(direction).pointee.bytesOut &+= bytes
    let series = connection.pointee.series
    metrics.add(series &+ path.rawValue, bytes)
    if direction == .toDownstream {
      metrics.add(series &+ WorkerMetrics.SeriesCell.sentBytes.rawValue, bytes)
    }
  }

  // MARK: Nothing held

  /// All that was read has been passed on. What next: the FIN, the bulk mode, or the next receive, which is in flight.
  private mutating func drained(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    let half = connection.half(direction)
    if half.pointee.mode == .copied {
      bulkSent(slot, connection, direction)
    } else if half.pointee.sourceEnded {
      endSink(slot, connection, direction)
    } else if half.pointee.modeVotes >= Self.bulkVotes, !connection.pointee.inFlight.contains(.receive(direction)) {
      enterBulk(slot, connection, direction)
    } else if !connection.pointee.inFlight.contains(.receive(direction)) {
      submitReceive(slot, connection, direction, expectsData: true)
    }
  }
}
