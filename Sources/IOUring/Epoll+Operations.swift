// Starts the operations of `Kernel` on epoll. Each verb tries its system call at once unless the descriptor is known
// not to be ready; `Epoll+Progress.swift` has the attempts.

import CIOUring
import Glibc

extension Epoll {
  /// What is asked for once something waits for input. Urgent data is among it because a receive stops there: `Marks`.
  static var readInterest: UInt32 {
    EPOLLET.rawValue | EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLPRI.rawValue
  }

  /// accept4(2).
  public mutating func submitAccept(_ listener: Descriptor, multishot: Bool, token: Token) {
    guard let state = begin(.input, listener, token) else { return }
    state.pointee.inputKind = multishot ? .acceptMultishot : .accept
    progressInput(listener.rawValue, state)
  }

  /// connect(2). A Unix socket connects at once or not at all: its full backlog is `-EAGAIN`.
  public mutating func submitConnect(
    _ socket: Descriptor, address: UnsafeRawPointer, length: UInt32, token: Token
  ) {
    guard let state = begin(.output, socket, token) else { return }
    state.pointee.outputKind = .connect
    let result = Glibc.connect(socket.rawValue, address.assumingMemoryBound(to: sockaddr.self), length)
    if result < 0 && errno == EINPROGRESS {
      waitForEdge(.output, socket.rawValue, state)
    } else {
      finish(.output, socket.rawValue, result < 0 ? -errno : 0)
    }
  }

  /// recv(2) into a shared buffer, which is taken only when bytes are there.
  public mutating func submitReceive(_ socket: Descriptor, expectsData: Bool, token: Token) {
    guard let state = begin(.input, socket, token) else { return }
    state.pointee.inputKind = .receive
    if expectsData || state.pointee.interest != 0 {
      progressInput(socket.rawValue, state)
    } else {
      waitForEdge(.input, socket.rawValue, state)
    }
  }

  /// recv(2).
  public mutating func submitReceive(
    _ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token
  ) {
    completions.raise(token, Epoll.receive(socket.rawValue, buffer.baseAddress, min(buffer.count, Int(Int32.max))))
  }

  /// send(2).
  public mutating func submitSend(
    _ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token
  ) {
    if mode != .complete {
      let count = min(bytes.count, Int(Int32.max))
      let sent = Epoll.send(socket.rawValue, bytes.baseAddress, count, isBeforeMore: mode == .immediateBeforeMore)
      // After an error the mark does no harm: the edge of the error takes it away.
      if sent < count { table.state(socket.rawValue)?.pointee.marks.insert(.full) }
      completions.raise(token, sent)
      return
    }
    guard let state = begin(.output, socket, token) else { return }
    state.pointee.outputKind = .send
    state.pointee.sendBytes = bytes.baseAddress
    state.pointee.sendCount = UInt32(truncatingIfNeeded: min(bytes.count, Int(Int32.max)))
    state.pointee.sendDone = 0
    progressOutput(socket.rawValue, state)
  }

  /// The readiness of a descriptor that was never waited for comes with its registration; otherwise the marks tell
  /// that it isn't ready, or poll(2) has to: splice(2) and read(2) move bytes without leaving a mark.
  public mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {
    let kind = Epoll.pollKind(readiness)
    guard let state = begin(kind, descriptor, token) else { return }
    let number = descriptor.rawValue
    let mark: DescriptorState.Marks
    let maybeReady: Bool
    switch readiness {
    case .readable: (mark, maybeReady) = (.drained, !state.pointee.marks.contains(.drained))
    case .writable: (mark, maybeReady) = (.full, !state.pointee.marks.contains(.full))
    case .hangUp: (mark, maybeReady) = ([], state.pointee.marks.contains(.hangUp))
    }
    if state.pointee.interest != 0 && maybeReady {
      let ready = sidecar_poll_now(number, Int16(truncatingIfNeeded: Epoll.pollEvents(kind)))
      if ready != 0 {
        finish(kind, number, ready)
        return
      }
      state.pointee.marks.insert(mark)
    }
    waitForEdge(kind, number, state)
  }

  /// A partial send reports what was sent, as on a ring; all else reports `-ECANCELED`. An operation that is not
  /// found has completed.
  public mutating func submitCancel(_ target: Token, on descriptor: Descriptor) {
    guard let state = table.state(descriptor.rawValue), let kind = table.kind(of: target, descriptor.rawValue) else {
      return
    }
    let isPartial = kind == .output && state.pointee.outputKind == .send && state.pointee.sendDone > 0
    finish(kind, descriptor.rawValue, isPartial ? Int32(truncatingIfNeeded: state.pointee.sendDone) : -ECANCELED)
  }

  /// Whether the operation that a token names has yet to complete.
  func isWaiting(_ token: Token, on descriptor: Descriptor) -> Bool {
    table.state(descriptor.rawValue) != nil && table.kind(of: token, descriptor.rawValue) != nil
  }

  /// close(2) takes the registration along; what is left of it here is forgotten.
  public mutating func close(_ descriptor: Descriptor) {
    if let state = table.state(descriptor.rawValue) {
      precondition(state.pointee.armed == 0, "descriptor \(descriptor.rawValue) is closed under a pending operation")
      // A page that nothing was ever written to costs no memory.
      if state.pointee.interest != 0 || !state.pointee.marks.isEmpty {
        state.pointee.interest = 0
        state.pointee.marks = []
        state.pointee.generation &+= 1
      }
    }
    // The descriptor is gone whatever close(2) answers, EINTR included.
    _ = Glibc.close(descriptor.rawValue)
  }

  /// Enters an operation into the table. A descriptor that does not fit completes it with an error.
  private mutating func begin(
    _ kind: OperationKind, _ descriptor: Descriptor, _ token: Token
  ) -> UnsafeMutablePointer<DescriptorState>? {
    guard let state = table.state(descriptor.rawValue) else {
      completions.raise(token, descriptor.isOpen ? -EMFILE : -EBADF)
      return nil
    }
    precondition(!state.pointee.isArmed(kind), "descriptor \(descriptor.rawValue) has two operations of one kind")
    table.arm(descriptor.rawValue, kind, token: token)
    return state
  }

  private static func pollKind(_ readiness: Readiness) -> OperationKind {
    switch readiness {
    case .readable: .pollReadable
    case .writable: .pollWritable
    case .hangUp: .pollHangUp
    }
  }
}
