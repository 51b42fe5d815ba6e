// What each kind of operation does when it is tried: the outcome that a real kernel could give, one of them by chance.

import Glibc
import IOUring

extension SimulatedWorld {
  // MARK: Accept and connect

  func tryAccept(
    _ object: SimulatedObject, _ operation: SimulatedOperation, _ number: Int32, multishot: Bool
  ) -> Outcome {
    guard case .listener(let listener) = object.kind else { return .finished(-EINVAL) }
    while !listener.queue.isEmpty {
      if random.chance(faults.acceptAborted) {
        let stream = listener.queue.removeFirst()
        stream.resetsOnClose = true
        stream.close()
        return .finished(-ECONNABORTED)
      }
      let stream = listener.queue[0]
      let accepted = accept(listener)
      guard accepted >= 0 else {
        // The connection stays in the queue; whoever accepts again finds it.
        return .finished(accepted)
      }
      guard multishot, !operation.isCancelled, !random.chance(faults.multishotEnds) else {
        complete(operation.token, number, accepted, [], accepted: stream)
        return .gone
      }
      complete(operation.token, number, accepted, .more, accepted: stream)
    }
    return .waiting
  }

  func tryConnect(
    _ object: SimulatedObject, _ operation: SimulatedOperation, _ number: Int32, _ address: String
  ) -> Outcome {
    guard case .socket(let isUnix) = object.kind else { return .finished(-EISCONN) }
    if operation.isNew {
      switch connectOutcome(address) {
      case .silence: break
      case .established(let delay): connecting.append((clock + delay, number))
      case .refused(let error, let delay):
        if delay == 0 { return .finished(-error) }
        connecting.append((clock + delay, number))
        object.refusal = error
      }
      object.isAnswered = false
      return .waiting
    }
    guard object.isAnswered else { return .waiting }
    object.isAnswered = false
    if let refusal = object.refusal {
      object.refusal = nil
      return .finished(-refusal)
    }
    let (near, far) = makeStreams(isUnix: isUnix)
    near.descriptor = number
    near.resetsOnClose = object.resetsOnClose
    object.kind = .stream(near)
    upstreamConnected(far, clientOfConnection[operation.token.connection], address)
    return .finished(0)
  }

  // MARK: Receive and send

  func tryReceive(_ object: SimulatedObject, _ operation: SimulatedOperation) -> Outcome {
    guard case .stream(let stream) = object.kind else { return .finished(-ENOTCONN) }
    if operation.isNew, random.chance(faults.interrupted) { return .finished(-EINTR) }
    guard stream.isReadable else {
      // A first attempt picks its buffer before it looks at the socket.
      return operation.isNew && operation.expectsData && freeBuffers.isEmpty ? .finished(-ENOBUFS) : .waiting
    }
    if stream.arrived == 0 {
      let result = Int32(stream.read(into: UnsafeMutableRawBufferPointer(start: nil, count: 0)))
      if result == 0, !freeBuffers.isEmpty, random.chance(faults.bufferWithEnd) {
        return .finished(0, take(freeBuffers.removeFirst()))
      }
      return .finished(result)
    }
    if freeBuffers.isEmpty || random.chance(faults.noBuffers) { return .finished(-ENOBUFS) }
    let buffer = freeBuffers.removeFirst()
    let memory = UnsafeMutableRawBufferPointer(
      start: bufferMemory + Int(buffer) * bufferSize, count: shortened(bufferSize, by: faults.shortReceive))
    let count = stream.read(into: memory)
    if sabotage == .byteChanged, count > 8 { memory[count / 2] ^= 1 }
    if sabotage == .bytesLostBeforeEnd, count > 8, stream.arrived == 0, stream.finArrived {
      freeBuffers.append(buffer)
      return .finished(0)
    }
    let isLast = stream.isAtEnd && !random.chance(faults.hintLies)
    return .finished(Int32(count), take(buffer).union(isLast ? .lastBytes : hint(stream)))
  }

  func tryReceive(_ object: SimulatedObject, into memory: UnsafeMutableRawBufferPointer) -> Outcome {
    guard case .stream(let stream) = object.kind else { return .finished(-ENOTCONN) }
    guard stream.isReadable else { return .finished(-EAGAIN) }
    if random.chance(faults.interrupted) { return .finished(-EINTR) }
    let count = shortened(memory.count, by: faults.shortReceive)
    let received = stream.read(into: UnsafeMutableRawBufferPointer(rebasing: memory.prefix(count)))
    return .finished(Int32(received), received > 0 ? hint(stream) : [])
  }

  private func take(_ buffer: UInt16) -> Completion.Flags {
    bufferIsOut[Int(buffer)] = true
    return Completion.Flags(rawValue: Completion.Flags.buffer.rawValue | UInt32(buffer) << 16)
  }

  private func hint(_ stream: SimulatedStream) -> Completion.Flags {
    (stream.arrived > 0) != random.chance(faults.hintLies) ? .socketNonEmpty : []
  }

  func trySend(
    _ object: SimulatedObject, _ number: Int32, at index: Int, _ bytes: UnsafeRawBufferPointer, _ mode: SendMode
  ) -> Outcome {
    guard case .stream(let stream) = object.kind else { return .finished(-ENOTCONN) }
    switch mode {
    case .immediate, .immediateBeforeMore:
      if random.chance(faults.sendRefused) { return .finished(-EAGAIN) }
      if random.chance(faults.interrupted) { return .finished(-EINTR) }
      let count = shortened(bytes.count, by: faults.shortSend)
      let isBeforeMore = mode == .immediateBeforeMore && count == bytes.count
      let sent = stream.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(count)), isBeforeMore: isBeforeMore)
      return .finished(Int32(sabotage == .sendOverstated && sent > 0 && sent < bytes.count ? sent + 1 : sent))
    case .complete:
      let progress = object.operations[index].progress
      let sent = stream.write(UnsafeRawBufferPointer(rebasing: bytes.dropFirst(progress)))
      if sent == -Int(EAGAIN) { return .waiting }
      // What was sent before an error counts; the error has been taken, and the next send fails by itself.
      guard sent >= 0 else { return .finished(progress > 0 ? Int32(progress) : Int32(sent)) }
      object.operations[index].progress += sent
      let isAll = progress + sent == bytes.count
      return isAll || random.chance(faults.shortSend) ? .finished(Int32(progress + sent)) : .waiting
    }
  }

  // MARK: Poll

  /// Now and then the answer is out of date.
  func isReadable(_ socket: Descriptor) -> Bool {
    (stream(socket)?.events(readable: true, writable: false) ?? 0) != 0 && !random.chance(faults.hintLies)
  }

  func tryPoll(_ object: SimulatedObject, _ readiness: Readiness) -> Outcome {
    let events: Int32
    switch object.kind {
    case .stream(let stream):
      events = stream.events(readable: readiness.isReadable, writable: readiness.isWritable)
    case .listener(let listener):
      events = listener.queue.isEmpty ? 0 : Int32(POLLIN)
    case .socket, .pipe:
      return .finished(Int32(POLLERR))
    }
    if events == 0, !readiness.isHangUp, random.chance(faults.spuriousPoll) {
      return .finished(Int32(readiness.isReadable ? POLLIN : POLLOUT))
    }
    return events == 0 ? .waiting : .finished(events)
  }
}

extension Readiness {
  fileprivate var isReadable: Bool { if case .readable = self { true } else { false } }
  fileprivate var isWritable: Bool { if case .writable = self { true } else { false } }
  fileprivate var isHangUp: Bool { if case .hangUp = self { true } else { false } }
}
