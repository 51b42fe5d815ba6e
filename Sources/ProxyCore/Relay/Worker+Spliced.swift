// The relay of bulk: socket → pipe → socket with splice(2), so that the bytes never enter user space. Driven by
// readiness; the splices are direct calls, because io_uring would hand them to a thread of its own.

import Glibc
import IOUring

extension Worker where K: ~Copyable {
  /// Bytes that one half-pipe moves per turn at the most, so that a fast stream leaves room for the others.
  private static var bytesPerTurn: Int { 1_048_576 }
  /// A turn that moves less than this is a sign of small messages; so many of them in a row end the bulk mode.
  static var smallTransfer: Int { 16_384 }
  static var smallVotes: UInt8 { 4 }

  /// Turns a drained half-pipe to bulk.
  mutating func enterBulk(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    let half = connection.half(direction)
    half.pointee.modeVotes = 0
    if connection.isOnThisHost(direction.sink) { kernel.sendUnpaced(connection.descriptor(direction.sink)) }
    if connection.pointee.tls != nil {
      enterCopied(slot, connection, direction)
    } else if let pipe = pipes.take(&kernel, limit: settings.pipesMax) {
      half.pointee.mode = .spliced
      half.pointee.pipe = pipe
      half.pointee.pipeBytes = 0
      pump(slot, connection, direction)
    } else {
      metrics.add(WorkerMetrics.Cell.pipesRefused.rawValue)
      enterCopied(slot, connection, direction)
    }
  }

  /// A source has bytes or has ended, or a sink has room. A poll that the kernel refuses would be refused again, and again at
  /// once: epoll's limit on watches is the user's, over all processes.
  mutating func pollCompleted(
    _ operation: Operation, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, events: Int32
  ) {
    let direction = operation.direction
    let isOfSource = operation.kind == .pollSource
    guard events >= 0 else {
      closeReset(slot, connection, by: isOfSource ? direction.source : direction.sink, errno: -events)
      return
    }
    if isOfSource, connection.half(direction).pointee.mode == .copied {
      receiveBulk(slot, connection, direction)
    } else {
      pump(slot, connection, direction)
    }
  }

  /// Moves what can be moved, then waits for the socket that stopped it.
  mutating func pump(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
    let half = connection.half(direction)
    var moved = 0
    while true {
      let filled = fillPipe(connection, direction)
      if filled < 0 && filled != -EAGAIN {
        spliceFailed(slot, connection, direction, error: Int32(truncatingIfNeeded: -filled), by: direction.source)
        return
      }
      let drained = drainPipe(connection, direction)
      if drained < 0 && drained != -EAGAIN {
        spliceFailed(slot, connection, direction, error: Int32(truncatingIfNeeded: -drained), by: direction.sink)
        return
      }
      moved += max(drained, 0)

      if half.pointee.pipeBytes > 0 {
        guard drained == -EAGAIN || moved >= Self.bytesPerTurn else { continue }
        half.pointee.modeVotes = 0
        submitPoll(slot, connection, direction, .pollSink(direction), on: direction.sink, for: .writable)
        watchForReset(slot, connection, direction.source)
        return
      }
      if half.pointee.sourceEnded {
        leaveSpliced(half)
        endSink(slot, connection, direction)
        return
      }
      guard filled == -EAGAIN || moved >= Self.bytesPerTurn else { continue }
      waitForSource(slot, connection, direction, moved: moved)
      return
    }
  }

  private mutating func waitForSource(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, moved: Int
  ) {
    let half = connection.half(direction)
    half.pointee.modeVotes = moved < Self.smallTransfer ? half.pointee.modeVotes &+ 1 : 0
    if half.pointee.modeVotes >= Self.smallVotes {
      leaveSpliced(half)
      half.pointee.sourceHasMore = false
      continueReading(slot, connection, direction)
    } else {
      submitPoll(slot, connection, direction, .pollSource(direction), on: direction.source, for: .readable)
    }
  }

  mutating func submitPoll(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, _ operation: Operation,
    on side: Side, for readiness: Readiness
  ) {
    kernel.submitPoll(
      connection.descriptor(side), for: readiness, token: begin(operation, slot, connection))
  }

  /// Socket → pipe. Bytes moved, 0 at the end of the stream or when the pipe is full, or `-errno`.
  private mutating func fillPipe(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) -> Int {
    let half = connection.half(direction)
    let room = half.pointee.pipe.capacity - Int(half.pointee.pipeBytes)
    guard !half.pointee.sourceEnded, room > 0 else { return 0 }
    let moved = kernel.splice(
      from: connection.descriptor(direction.source), to: half.pointee.pipe.writeEnd, count: room)
    if moved > 0 {
      half.pointee.pipeBytes += UInt32(truncatingIfNeeded: moved)
      connection.pointee.lastActivityAt = kernel.now
      countReceived(connection, direction, count: moved)
    } else if moved == 0 {
      if resetWasSwallowed(connection, direction) { return -Int(ECONNRESET) }
      noteSourceEnded(connection, direction)
    }
    return moved
  }

  /// Pipe → socket. Bytes moved, 0 when the pipe is empty, or `-errno`.
  private mutating func drainPipe(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) -> Int {
    let half = connection.half(direction)
    guard half.pointee.pipeBytes > 0 else { return 0 }
    let moved = kernel.splice(
      from: half.pointee.pipe.readEnd, to: connection.descriptor(direction.sink),
      count: Int(half.pointee.pipeBytes))
    if moved > 0 {
      half.pointee.pipeBytes -= UInt32(truncatingIfNeeded: moved)
      countSent(connection, direction, count: moved, path: .relayedSplicedBytes)
    }
    return moved
  }

  private mutating func spliceFailed(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, error: Int32, by side: Side
  ) {
    let half = connection.half(direction)
    if error == EINVAL, half.pointee.pipeBytes == 0 {
      // A socket that can't splice: some kernels' Unix sockets, and sockets under BPF sockmap.
      leaveSpliced(half)
      enterCopied(slot, connection, direction)
    } else {
      closeReset(slot, connection, by: side, errno: error)
    }
  }

  /// Gives the pipe back.
  mutating func leaveSpliced(_ half: UnsafeMutablePointer<HalfPipe>) {
    guard half.pointee.mode == .spliced else { return }
    pipes.giveBack(half.pointee.pipe, isEmpty: half.pointee.pipeBytes == 0, &kernel)
    half.pointee.mode = .buffered
    half.pointee.modeVotes = 0
    half.pointee.pipe = .none
    half.pointee.pipeBytes = 0
  }
}
