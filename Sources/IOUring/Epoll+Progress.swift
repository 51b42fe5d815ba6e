// Carries the operations of the epoll kernel on: the attempts, and what an edge makes possible. Called when an
// operation is submitted and for each event of a turn. A descriptor gets one attempt per operation and event, so that
// none can keep the others waiting.

import CIOUring
import Glibc

extension Epoll {
  /// Connections that one listener accepts per event before the other descriptors get their turn.
  private static var acceptsMax: Int { 64 }

  /// What poll(2) would report for an operation: its own events, errors and hang-ups.
  static func pollEvents(_ kind: OperationKind) -> UInt32 {
    switch kind {
    case .pollReadable: EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue
    case .pollWritable: EPOLLOUT.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue
    default: EPOLLERR.rawValue | EPOLLHUP.rawValue
    }
  }

  // MARK: Edges

  /// Notes what an edge tells and carries on what waited for it.
  mutating func handle(_ events: UInt32, descriptor: Int32, generation: UInt32) {
    guard let state = table.state(descriptor), state.pointee.generation == generation else { return }
    let failed = events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
    let writable = failed || events & EPOLLOUT.rawValue != 0
    if failed { state.pointee.marks.insert(.hangUp) }
    if failed || events & (EPOLLRDHUP.rawValue | EPOLLPRI.rawValue) != 0 {
      state.pointee.marks.insert(.shortIsNotDrained)
    }
    if failed {
      state.pointee.marks.remove(.ending)
    } else if events & EPOLLRDHUP.rawValue != 0 {
      state.pointee.marks.insert(.ending)
    }
    if failed || events & Epoll.readInterest != 0 { state.pointee.marks.remove(.drained) }
    if writable { state.pointee.marks.remove(.full) }

    if state.pointee.isArmed(.input) { progressInput(descriptor, state) }
    if writable, state.pointee.isArmed(.output) { progressOutput(descriptor, state) }
    finishPoll(.pollReadable, events, descriptor, state)
    finishPoll(.pollWritable, events, descriptor, state)
    finishPoll(.pollHangUp, events, descriptor, state)
  }

  private mutating func finishPoll(
    _ kind: OperationKind, _ events: UInt32, _ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>
  ) {
    guard state.pointee.isArmed(kind) else { return }
    let ready = events & Epoll.pollEvents(kind)
    if ready != 0 { finish(kind, descriptor, Int32(truncatingIfNeeded: ready)) }
  }

  /// Leaves an operation to the next edge of its descriptor, registering what is not registered yet. Registration
  /// reports readiness that is there already, so that none is missed between the attempt and here.
  mutating func waitForEdge(
    _ kind: OperationKind, _ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>
  ) {
    let wanted: UInt32 =
      switch kind {
      case .input, .pollReadable: Epoll.readInterest
      case .output, .pollWritable: writeInterest
      // Errors and hang-ups are always reported.
      case .pollHangUp: EPOLLET.rawValue
      }
    guard state.pointee.interest & wanted != wanted else { return }
    let refusal = register(descriptor, state, interest: state.pointee.interest | wanted)
    if refusal < 0 { finish(kind, descriptor, refusal) }
  }

  /// epoll_ctl(2). Doing it again for the same interest makes present readiness an edge once more.
  private func register(
    _ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>, interest: UInt32
  ) -> Int32 {
    let operation = state.pointee.interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD
    let data = UInt64(state.pointee.generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
    let refusal = sidecar_epoll_control(epoll, operation, descriptor, interest, data)
    if refusal == 0 { state.pointee.interest = interest }
    return refusal
  }

  /// Completes an operation that is in the table.
  mutating func finish(
    _ kind: OperationKind, _ descriptor: Int32, _ result: Int32, _ flags: Completion.Flags = []
  ) {
    completions.raise(table.disarm(descriptor, kind), result, flags)
  }

  // MARK: Input

  /// Tries the pending receive or accept.
  mutating func progressInput(_ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    if state.pointee.marks.contains(.drained) {
      waitForEdge(.input, descriptor, state)
      return
    }
    switch state.pointee.inputKind {
    case .receive: receive(descriptor, state)
    case .accept: acceptOne(descriptor, state)
    case .acceptMultishot: acceptMany(descriptor, state)
    }
  }

  private mutating func receive(_ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    let isEnding = state.pointee.marks.contains(.ending)
    guard let (result, flags) = receiveBuffers.receive(from: descriptor, isEnding: isEnding) else {
      drained(descriptor, state)
      return
    }
    if result > 0, !flags.contains(.socketNonEmpty) { noteShortReceive(state) }
    finish(.input, descriptor, result, flags)
  }

  /// A stream socket that gave less than was asked for is drained, and an edge announces the next byte: epoll(7),
  /// question 9. `Marks.shortIsNotDrained` names the exceptions.
  private func noteShortReceive(_ state: UnsafeMutablePointer<DescriptorState>) {
    if !state.pointee.marks.contains(.shortIsNotDrained) { state.pointee.marks.insert(.drained) }
  }

  private mutating func drained(_ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    state.pointee.marks.insert(.drained)
    waitForEdge(.input, descriptor, state)
  }

  private mutating func acceptOne(_ listener: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    let accepted = Epoll.accept(listener)
    if accepted == -EAGAIN {
      drained(listener, state)
    } else {
      finish(.input, listener, accepted)
    }
  }

  private mutating func acceptMany(_ listener: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    let token = table.token(listener, .input)
    for _ in 0..<Epoll.acceptsMax {
      let accepted = Epoll.accept(listener)
      if accepted == -EAGAIN {
        drained(listener, state)
        return
      }
      guard accepted >= 0 else {
        finish(.input, listener, accepted)
        return
      }
      completions.raise(token, accepted, .more)
    }
    // There may be more to accept: the backlog has to raise an edge again.
    let refusal = register(listener, state, interest: state.pointee.interest | Epoll.readInterest)
    if refusal < 0 { finish(.input, listener, refusal) }
  }

  // MARK: Output

  /// Tries the pending send, or ends the pending connect.
  mutating func progressOutput(_ descriptor: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    switch state.pointee.outputKind {
    case .connect:
      var failure: Int32 = 0
      var length = UInt32(MemoryLayout<Int32>.size)
      let asked = getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
      finish(.output, descriptor, asked < 0 ? -errno : -failure)
    case .send:
      sendRest(descriptor, state)
    }
  }

  private mutating func sendRest(_ socket: Int32, _ state: UnsafeMutablePointer<DescriptorState>) {
    let done = state.pointee.sendDone
    let count = state.pointee.sendCount
    if !state.pointee.marks.contains(.full) {
      let sent = Epoll.send(socket, state.pointee.sendBytes.map { $0 + Int(done) }, Int(count - done))
      if sent < 0 && sent != -EAGAIN {
        // What was sent is told first; the socket tells its error again to the next send.
        finish(.output, socket, done > 0 ? Int32(truncatingIfNeeded: done) : sent)
        return
      }
      state.pointee.sendDone = done + UInt32(truncatingIfNeeded: max(sent, 0))
      if state.pointee.sendDone == count {
        finish(.output, socket, Int32(truncatingIfNeeded: count))
        return
      }
      state.pointee.marks.insert(.full)
    }
    waitForEdge(.output, socket, state)
  }

  // MARK: System calls

  static func send(_ socket: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, isBeforeMore: Bool = false) -> Int32 {
    let more = isBeforeMore ? Int32(MSG_MORE) : 0
    let sent = Glibc.send(socket, bytes, count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT) | more)
    return sent < 0 ? -errno : Int32(truncatingIfNeeded: sent)
  }

  static func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int32 {
    let received = recv(socket, bytes, count, Int32(MSG_DONTWAIT))
    return received < 0 ? -errno : Int32(truncatingIfNeeded: received)
  }

  private static func accept(_ listener: Int32) -> Int32 {
    let accepted = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
    return accepted < 0 ? -errno : accepted
  }
}
