// What a ring may still be asked for once it is enabled: the operations that the worker submits, and nothing else. A ring
// carries out its operations past the process's system-call filter (seccomp(2)): without this, whoever takes the process
// over could open and unlink files through it. io_uring_register(2), IORING_REGISTER_RESTRICTIONS, Linux 5.10.

import CIOUring
import Glibc

extension Ring {
  /// All that `Ring+Operations.swift`, `Ring+Receive.swift` and `Ring+Nested.swift` submit.
  private static let operations: [io_uring_op] = [
    IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_CONNECT, IORING_OP_NOP, IORING_OP_POLL_ADD, IORING_OP_RECV,
    IORING_OP_SEND,
  ]

  /// What `enable` and the end of the ring register.
  private static let registrations: [UInt32] = [
    UInt32(IORING_REGISTER_IOWQ_MAX_WORKERS), UInt32(IORING_REGISTER_RING_FDS),
    UInt32(IORING_UNREGISTER_RING_FDS),
  ]

  /// Takes effect when the ring is enabled. Once per ring.
  static func restrict(_ ring: UnsafeMutablePointer<io_uring>) throws(RingError) {
    var restrictions = operations.map { operation in
      var restriction = io_uring_restriction()
      restriction.opcode = UInt16(IORING_RESTRICTION_SQE_OP)
      restriction.sqe_op = UInt8(operation.rawValue)
      return restriction
    }
    restrictions += registrations.map { registration in
      var restriction = io_uring_restriction()
      restriction.opcode = UInt16(IORING_RESTRICTION_REGISTER_OP)
      restriction.register_op = UInt8(registration)
      return restriction
    }
    var flags = io_uring_restriction()
    flags.opcode = UInt16(IORING_RESTRICTION_SQE_FLAGS_ALLOWED)
    flags.sqe_flags = UInt8(SIDECAR_SQE_CQE_SKIP_SUCCESS)
    restrictions.append(flags)
    let result = sidecar_restrict_ring(ring, &restrictions, UInt32(restrictions.count))
    guard result == 0 else { throw RingError(operation: "io_uring_register (RESTRICTIONS)", errno: -result) }
  }
}
