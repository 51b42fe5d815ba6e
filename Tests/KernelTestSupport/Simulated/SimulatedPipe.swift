// Pipes of the simulated world and splice(2) between them and sockets.

import Glibc
import IOUring

final class SimulatedPipe {
  var bytes: ByteQueue

  init(capacity: Int) { bytes = ByteQueue(capacity: capacity) }
}

extension SimulatedWorld {
  func openPipe(capacity: Int) -> Result<Pipe, KernelError> {
    if random.chance(faults.pipeExhausted) { return .failure(KernelError(errno: EMFILE)) }
    // A page at least; an unprivileged user's pipe may be of any such size.
    let granted = random.chance(faults.pipeShrunk) ? 4_096 << random.below(7) : capacity
    let pipe = SimulatedPipe(capacity: granted)
    guard let readEnd = open(.pipe(pipe, isReadEnd: true)) else { return .failure(KernelError(errno: EMFILE)) }
    guard let writeEnd = open(.pipe(pipe, isReadEnd: false)) else {
      close(readEnd)
      return .failure(KernelError(errno: EMFILE))
    }
    trace("pipe", Int(readEnd.rawValue), Int(writeEnd.rawValue), granted)
    return .success(Pipe(readEnd: readEnd, writeEnd: writeEnd, capacity: granted))
  }

  /// splice(2), neither end waiting.
  func splice(from: Descriptor, to: Descriptor, count: Int) -> Int {
    let moved: Int
    switch (object(from)?.kind, object(to)?.kind) {
    case (.stream(let stream), .pipe(let pipe, isReadEnd: false)):
      moved = fill(pipe, from: stream, count: count)
    case (.pipe(let pipe, isReadEnd: true), .stream(let stream)):
      moved = drain(pipe, to: stream, count: count)
    default:
      violation("splice from \(from.rawValue) to \(to.rawValue), which are no socket and pipe")
      moved = -Int(EBADF)
    }
    trace("splice", Int(from.rawValue), Int(to.rawValue), moved)
    return moved
  }

  private func fill(_ pipe: SimulatedPipe, from stream: SimulatedStream, count: Int) -> Int {
    if pipe.bytes.count == 0, random.chance(faults.spliceInvalid) { return -Int(EINVAL) }
    // A pipe has places for so many fragments, and can be full long before its bytes are.
    if pipe.bytes.count > 0, random.chance(faults.shortSplice) { return -Int(EAGAIN) }
    let room = min(count, pipe.bytes.room)
    guard room > 0 else { return -Int(EAGAIN) }
    return withScratch(shortened(room, by: faults.shortSplice)) { scratch in
      let moved = stream.read(into: scratch)
      if moved > 0 { _ = pipe.bytes.append(UnsafeRawBufferPointer(rebasing: scratch.prefix(moved))) }
      return moved
    }
  }

  private func drain(_ pipe: SimulatedPipe, to stream: SimulatedStream, count: Int) -> Int {
    let available = min(count, pipe.bytes.count)
    guard available > 0 else { return -Int(EAGAIN) }
    let room = stream.writeRoom
    guard room > 0 else { return -Int(EAGAIN) }
    return withScratch(shortened(min(available, room), by: faults.shortSplice)) { scratch in
      // What can't be written stays in the pipe; a failing socket takes nothing out of it.
      if let error = stream.writeError() { return -Int(error) }
      let taken = pipe.bytes.remove(into: scratch)
      return stream.write(UnsafeRawBufferPointer(rebasing: scratch.prefix(taken)))
    }
  }

  /// `count`, or less by chance; at least one.
  func shortened(_ count: Int, by probability: Double) -> Int {
    count > 1 && random.chance(probability) ? 1 + random.below(count) : count
  }

  private func withScratch(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    withUnsafeTemporaryAllocation(byteCount: count, alignment: 1, body)
  }
}
