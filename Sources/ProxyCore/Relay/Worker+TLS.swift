// The relay of a TLS connection: what is received on the encrypted side is opened, what goes there is sealed, each piece
// from one buffer into another, many records at a time.

import IOUring

extension Worker where K: ~Copyable {
  // MARK: Opening and sealing

  /// Opens or seals a piece while nothing of its direction is being sent, and sends what came of it.
  mutating func transform(
    _ input: Piece, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    guard let tls = connection.pointee.tls, let output = takeOutput(for: input) else {
      release(input)
      tlsFailed(slot, connection, .outOfMemory)
      return
    }
    if tls.pointee.side == direction.sink {
      seal(input, into: output, slot, connection, direction, tls)
    } else {
      open(input, into: output, slot, connection, direction, tls)
    }
  }

  private mutating func open(
    _ input: Piece, into output: Output, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>,
    _ direction: Direction, _ tls: UnsafeMutablePointer<TLSConnection>
  ) {
    let half = connection.half(direction)
    var ciphertext = InputWindow(input.rest)
    var plaintext = OutputWindow(output.area)
    let outcome = tls.pointee.open(&ciphertext, &plaintext)
    countReceived(connection, direction, count: plaintext.count)
    switch outcome {
    case .needsInput:
      release(input)
    case .needsPlaintextRoom, .needsOutput:
      half.pointee.waiting = input.advanced(toRest: ciphertext.count)
    case .closed:
      release(input)
      noteSourceEnded(connection, direction)
    case .failed(let failure):
      release(input)
      giveBack(output)
      tlsFailed(slot, connection, failure)
      return
    }
    if plaintext.count > 0 {
      send(output.piece(count: plaintext.count), slot, connection, direction, mode: mode(ofLast: half))
    } else {
      giveBack(output)
    }
    sendProtocolBytes(slot, connection)
    if half.pointee.isDrained { drained(slot, connection, direction) }
  }

  private mutating func seal(
    _ input: Piece, into output: Output, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>,
    _ direction: Direction, _ tls: UnsafeMutablePointer<TLSConnection>
  ) {
    var records = OutputWindow(output.area)
    // They were sealed before what comes now.
    tls.pointee.takeProtocolBytes(into: &records)
    var plaintext = InputWindow(input.rest)
    let offered = plaintext.count
    let outcome = tls.pointee.session.encrypt(plaintext: &plaintext, output: &records)
    let sealed = offered - plaintext.count
    countReceived(connection, direction, count: sealed)
    let half = connection.half(direction)
    switch outcome {
    case .done:
      release(input)
      // Where there is no room for it, `endSink` says it.
      if half.pointee.sourceEnded { _ = tls.pointee.session.closeNotify(output: &records) }
    case .needsOutput:
      half.pointee.waiting = input.advanced(toRest: plaintext.count)
    case .failed(let failure):
      release(input)
      giveBack(output)
      tlsFailed(slot, connection, failure)
      return
    }
    send(
      output.piece(count: records.count, sealed: sealed), slot, connection, direction,
      mode: half.pointee.waiting.isEmpty ? mode(ofLast: half) : .immediate)
  }

  // MARK: What the protocol itself has to say

  /// Sends what the protocol has to say when nothing else is about to carry it.
  mutating func sendProtocolBytes(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    guard let tls = connection.pointee.tls, tls.pointee.protocolByteCount > 0 else { return }
    let direction = Direction.from(tls.pointee.side.other)
    guard connection.half(direction).pointee.isDrained, !connection.half(direction).pointee.sinkEnded,
      let output = takeOutput(for: .none)
    else { return }
    var records = OutputWindow(output.area)
    tls.pointee.takeProtocolBytes(into: &records)
    send(output.piece(count: records.count), slot, connection, direction)
  }

  /// A sealed piece has gone out: there is room again for what the protocol has to say, which may be all that the
  /// opening direction waits for.
  mutating func sealedPieceSent(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    sendProtocolBytes(slot, connection)
    guard let tls = connection.pointee.tls else { return }
    passOnWaiting(slot, connection, .from(tls.pointee.side))
  }

  /// Says that nothing more will come (RFC 8446 section 6.1), in one segment with the FIN; false when that was said before.
  mutating func sendCloseNotify(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) -> Bool {
    guard let tls = connection.pointee.tls, tls.pointee.side == direction.sink, !tls.pointee.session.closeNotifySent,
      let output = takeOutput(for: .none)
    else { return false }
    var records = OutputWindow(output.area)
    tls.pointee.takeProtocolBytes(into: &records)
    // A fresh output has room for it.
    _ = tls.pointee.session.closeNotify(output: &records)
    guard records.count > 0 else {
      giveBack(output)
      return false
    }
    send(output.piece(count: records.count), slot, connection, direction, mode: .immediateBeforeMore)
    return true
  }

  /// TLS has failed. The alert that tells the peer goes out if nothing else is on its way, the other side is reset.
  mutating func tlsFailed(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ failure: TLSFailure) {
    connection.pointee.tlsFailure = failure
    sendProtocolBytes(slot, connection)
    close(slot, connection, .tlsFailed)
  }

  // MARK: Memory for what is opened and sealed

  /// Where TLS writes: a chunk for a small piece, a large buffer for a large one.
  private struct Output {
    var area: UnsafeMutableRawBufferPointer
    var home: Piece.Home

    func piece(count: Int, sealed: Int = 0) -> Piece {
      Piece(
        base: area.baseAddress, count: UInt32(truncatingIfNeeded: count), sealed: UInt32(truncatingIfNeeded: sealed),
        home: home)
    }
  }

  private mutating func takeOutput(for input: Piece) -> Output? {
    if input.home == .bulk, let base = bulkBuffers.take() {
      return Output(
        area: UnsafeMutableRawBufferPointer(start: base, count: bulkBuffers.chunkSize), home: .bulk)
    }
    guard let base = chunks.take() else { return nil }
    return Output(area: UnsafeMutableRawBufferPointer(start: base, count: chunks.chunkSize), home: .chunk)
  }

  private mutating func giveBack(_ output: Output) { release(output.piece(count: 0)) }
}

extension Piece {
  /// The same piece with all but its last `rest` bytes dealt with.
  func advanced(toRest rest: Int) -> Piece {
    var piece = self
    piece.taken = count &- UInt32(truncatingIfNeeded: rest)
    return piece
  }
}
