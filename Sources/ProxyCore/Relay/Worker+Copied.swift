// Bulk through large buffers: TLS, and splicing where no pipe is to be had. A buffer is held from the moment when bytes
// are there until they are sent, so that a stream that pauses holds none.

import IOUring

extension Worker where K: ~Copyable {
  mutating func enterCopied(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    let half = connection.half(direction)
    half.pointee.modeVotes = 0
    half.pointee.mode = .copied
    receiveBulk(slot, connection, direction)
  }

  /// The source has bytes. Where no large buffer is left the half-pipe goes on with small ones.
  mutating func receiveBulk(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    let half = connection.half(direction)
    guard let buffer = bulkBuffers.take() else {
      half.pointee.mode = .buffered
      submitReceive(slot, connection, direction)
      return
    }
    half.pointee.filling = buffer
    kernel.submitReceive(
      connection.descriptor(direction.source),
      into: UnsafeMutableRawBufferPointer(start: buffer, count: WorkerMemory.bulkReceiveSize),
      token: begin(.receive(direction), slot, connection))
  }

  /// Everything that was received is sent.
  mutating func continueCopying(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction
  ) {
    // What was sent may have been TLS's own, in between: then it reads, or waits for more, already.
    let inFlight = connection.pointee.inFlight
    guard !inFlight.contains(.receive(direction)), !inFlight.contains(.pollSource(direction)) else { return }
    let half = connection.half(direction)
    if half.pointee.modeVotes >= Self.smallVotes {
      half.pointee.mode = .buffered
      half.pointee.modeVotes = 0
      continueReading(slot, connection, direction)
    } else if half.pointee.sourceHasMore {
      receiveBulk(slot, connection, direction)
    } else {
      submitPoll(slot, connection, direction, .pollSource(direction), on: direction.source, for: .readable)
    }
  }
}
