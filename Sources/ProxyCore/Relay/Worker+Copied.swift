// Bulk where no pipe is to be had: receive into a large buffer of the half-pipe's own, send all of it, receive again.

import IOUring

extension Worker where K: ~Copyable {
  mutating func enterCopied(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    let half = connection.half(direction)
    half.pointee.modeVotes = 0
    if let bulk = bulkBuffers.take() {
      half.pointee.mode = .copied
      half.pointee.bulk = bulk
      submitBulkReceive(slot, connection, direction, bulk)
    } else {
      submitReceive(slot, connection, direction, expectsData: true)
    }
  }

  private mutating func submitBulkReceive(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction,
    _ bulk: UnsafeMutableRawPointer
  ) {
    kernel.submitReceive(
      connection.descriptor(direction.source),
      into: UnsafeMutableRawBufferPointer(start: bulk, count: Self.bulkBufferSize),
      token: begin(.receive(direction), slot, connection))
  }

  mutating func bulkReceived(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, count: UInt32
  ) {
    let half = connection.half(direction)
    half.pointee.modeVotes = Int(count) < Self.smallTransfer ? half.pointee.modeVotes &+ 1 : 0
    half.pointee.sending = Piece(
      base: half.pointee.bulk, sent: 0, count: count, buffer: BufferID(rawValue: 0), home: .bulk)
    kernel.submitSend(
      connection.descriptor(direction.sink), half.pointee.sending.unsent, mode: .complete,
      token: begin(.send(direction), slot, connection))
  }

  /// The large buffer is empty again.
  mutating func bulkSent(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    let half = connection.half(direction)
    if half.pointee.modeVotes >= Self.smallVotes {
      leaveCopied(half)
      submitReceive(slot, connection, direction, expectsData: false)
    } else if let bulk = half.pointee.bulk {
      submitBulkReceive(slot, connection, direction, bulk)
    }
  }

  /// Gives the large buffer back.
  mutating func leaveCopied(_ half: UnsafeMutablePointer<HalfPipe>) {
    guard half.pointee.mode == .copied, let bulk = half.pointee.bulk else { return }
    bulkBuffers.giveBack(bulk)
    half.pointee.mode = .buffered
    half.pointee.modeVotes = 0
    half.pointee.bulk = nil
  }
}
