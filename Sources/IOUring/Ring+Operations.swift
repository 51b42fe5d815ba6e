// Fills submission entries for the operations of `Kernel`. Each verb names the io_uring operation it becomes.

public import CIOUring
import Glibc

extension Ring {
  /// A free submission entry. A full queue is handed over first; the kernel takes all of it (SUBMIT_ALL).
  @inlinable
  mutating func submissionEntry() -> UnsafeMutablePointer<io_uring_sqe> {
    while true {
      if let entry = io_uring_get_sqe(ring) { return entry }
      // Fails only while the kernel is out of memory or of completion entries; running deferred work frees both.
      _ = io_uring_submit_and_get_events(ring)
    }
  }

  /// IORING_OP_ACCEPT.
  public mutating func submitAccept(_ listener: Descriptor, multishot: Bool, token: Token) {
    let entry = submissionEntry()
    let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    if multishot {
      io_uring_prep_multishot_accept(entry, listener.rawValue, nil, nil, flags)
    } else {
      io_uring_prep_accept(entry, listener.rawValue, nil, nil, flags)
    }
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_CONNECT.
  public mutating func submitConnect(
    _ socket: Descriptor, address: UnsafeRawPointer, length: UInt32, token: Token
  ) {
    let entry = submissionEntry()
    io_uring_prep_connect(entry, socket.rawValue, address.assumingMemoryBound(to: sockaddr.self), length)
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_RECV.
  @inlinable
  public mutating func submitReceive(
    _ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token
  ) {
    let entry = submissionEntry()
    io_uring_prep_recv(entry, socket.rawValue, buffer.baseAddress, buffer.count, 0)
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_SEND. An immediate send never waits (MSG_DONTWAIT makes the request REQ_F_NOWAIT), so that its
  /// completion is in the queue before the enter that submits it returns.
  @inlinable
  public mutating func submitSend(
    _ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token
  ) {
    let entry = submissionEntry()
    let flags =
      switch mode {
      case .immediate: Int32(MSG_DONTWAIT)
      case .immediateBeforeMore: Int32(MSG_DONTWAIT) | Int32(MSG_MORE)
      case .complete: Int32(MSG_WAITALL)
      }
    io_uring_prep_send(entry, socket.rawValue, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL) | flags)
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_POLL_ADD, but for hang-ups: see `Ring+HangUp.swift`.
  public mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {
    let events: Int32
    switch readiness {
    case .readable: events = POLLIN | SIDECAR_POLLRDHUP
    case .writable: events = POLLOUT
    case .hangUp:
      submitHangUp(descriptor, token: token)
      return
    }
    let entry = submissionEntry()
    io_uring_prep_poll_add(entry, descriptor.rawValue, UInt32(bitPattern: events))
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_ASYNC_CANCEL, silent: the outcome of the target tells enough.
  public mutating func submitCancel(_ target: Token, on descriptor: Descriptor) {
    if cancelReceive(target, on: descriptor) || cancelHangUp(target, on: descriptor) { return }
    submitSilentCancel(target.rawValue)
  }

  mutating func submitSilentCancel(_ target: UInt64) {
    let entry = submissionEntry()
    io_uring_prep_cancel64(entry, target, 0)
    entry.pointee.flags = UInt8(truncatingIfNeeded: SIDECAR_SQE_CQE_SKIP_SUCCESS)
    entry.pointee.user_data = 0
  }
}
