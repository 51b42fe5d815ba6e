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

  /// IORING_OP_RECV. It never waits (MSG_DONTWAIT): io_uring would wait for urgent data along with bytes, and hand a receive
  /// that finds nothing else to io-wq.
  @inlinable
  public mutating func submitReceive(
    _ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token
  ) {
    let entry = submissionEntry()
    io_uring_prep_recv(entry, socket.rawValue, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_SEND for an immediate send, which never waits (MSG_DONTWAIT makes the request REQ_F_NOWAIT), so that its
  /// completion is in the queue before the enter that submits it returns. One that waits does so in `Ring+Nested.swift`.
  @inlinable
  public mutating func submitSend(
    _ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token
  ) {
    guard mode != .complete else {
      submitNestedSend(socket, bytes, token: token)
      return
    }
    let entry = submissionEntry()
    let more = mode == .immediateBeforeMore ? Int32(MSG_MORE) : 0
    let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT) | more
    io_uring_prep_send(entry, socket.rawValue, bytes.baseAddress, bytes.count, flags)
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_POLL_ADD for what there is to receive; the others wait in `Ring+Nested.swift`.
  public mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {
    guard readiness == .readable else {
      submitNestedPoll(descriptor, for: readiness, token: token)
      return
    }
    let entry = submissionEntry()
    io_uring_prep_poll_add(entry, descriptor.rawValue, UInt32(bitPattern: POLLIN | SIDECAR_POLLRDHUP))
    entry.pointee.user_data = token.rawValue
  }

  /// IORING_OP_ASYNC_CANCEL, silent: the outcome of the target tells enough.
  public mutating func submitCancel(_ target: Token, on descriptor: Descriptor) {
    if cancelReceive(target, on: descriptor) || cancelNested(target, on: descriptor) { return }
    submitSilentCancel(target.rawValue)
  }

  mutating func submitSilentCancel(_ target: UInt64) {
    let entry = submissionEntry()
    io_uring_prep_cancel64(entry, target, 0)
    entry.pointee.flags = UInt8(truncatingIfNeeded: SIDECAR_SQE_CQE_SKIP_SUCCESS)
    entry.pointee.user_data = 0
  }
}
