// Setting a ring up on the kernel that is there, and telling an operator why that was refused and how to mend it.
// Used by `Ring.init`, by the engine selection, and by `sidecar-proxy validate`.

import CIOUring
import Glibc

/// A refused set-up step of a ring, or of the epoll kernel.
public struct RingError: Error, Equatable, CustomStringConvertible {
  /// What was attempted, in the kernel's terms.
  public var operation: String
  /// A positive errno.
  public var errno: Int32

  public init(operation: String, errno: Int32) {
    self.operation = operation
    self.errno = errno
  }

  public var description: String {
    "\(operation) failed: \(String(cString: strerror(errno))); \(mend)"
  }

  /// Which of the known causes this is, and what to do about it.
  public var mend: String {
    switch errno {
    case ENOSYS:
      return "a seccomp profile hides io_uring or the kernel is built without it; "
        + "allow io_uring_setup, io_uring_enter and io_uring_register in the pod's seccomp profile, or set engine: epoll"
    case EPERM, EACCES:
      let setting = RingSupport.disabledSetting()
      if setting != 0 {
        return "kernel.io_uring_disabled is \(setting); set it to 0 on the node (sysctl), or set engine: epoll"
      }
      return "a seccomp profile or security module refuses io_uring; "
        + "allow io_uring_setup, io_uring_enter and io_uring_register, or set engine: epoll"
    case ENOMEM where operation.hasPrefix("mmap"):
      return "the limit on address space (ulimit -v) or vm.overcommit_memory = 2 refuses what is reserved for "
        + "connections, hardly any of which is ever used; lift it, or lower the limit on open files (ulimit -n), "
        + "by which it goes"
    case ENOMEM:
      return "the locked-memory limit (ulimit -l) or the container's memory limit is too low; raise it"
        + (isAboutRing ? ", or set engine: epoll" : "")
    case EINVAL:
      return "the kernel is older than \(RingSupport.minimumKernel); upgrade the node, or set engine: epoll"
    case EMFILE, ENFILE:
      return "no file descriptor is left; raise the limit on open files (ulimit -n)"
    default:
      return isAboutRing ? "set engine: epoll to go without io_uring" : "no engine works without it"
    }
  }

  private var isAboutRing: Bool { operation.hasPrefix("io_uring") }
}

/// What this host's io_uring can do.
public enum RingSupport {
  /// The oldest kernel with all that the ring uses: multishot accept and poll, cancellation by token.
  public static let minimumKernel = "5.19"

  /// kernel.io_uring_disabled: 0 allowed, 1 unprivileged processes refused, 2 refused. 0 where the setting is unknown.
  public static func disabledSetting() -> Int {
    let file = Glibc.open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return 0 }
    defer { close(file) }
    var digit: UInt8 = 0
    guard read(file, &digit, 1) == 1, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return 0 }
    return Int(digit - UInt8(ascii: "0"))
  }

  /// Tries a small ring with everything the worker asks for, and gives it back.
  /// - Throws: why the host refuses, with the mend.
  public static func check() throws(RingError) {
    var options = RingOptions()
    options.submissionEntries = 8
    options.completionEntries = 16
    options.receiveBufferCount = 2
    _ = try Ring(options: options)
  }

  /// Tries as many rings at once as there are to be workers, in the workers' sizes, and gives them back. What they take of
  /// the user's locked memory may be free again only a moment later.
  /// - Throws: why the host refuses, with the mend.
  public static func check(rings count: Int) throws(RingError) {
    guard count > 0 else { return }
    let ring = try Ring()
    try check(rings: count - 1)
    _ = consume ring
  }
}

extension Ring {
  /// io_uring_setup(2) with the best flags that the kernel knows.
  static func setUp(_ ring: UnsafeMutablePointer<io_uring>, options: RingOptions) throws(RingError) {
    let common = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED
    // 6.1 and later: completions run only when the worker asks for them, without interrupting it.
    let deferred = common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
    // 5.19: no inter-processor interrupts to a worker that is in user space.
    let cooperative = common | IORING_SETUP_COOP_TASKRUN

    var refusal: Int32 = 0
    for flags in [deferred, cooperative] {
      var parameters = io_uring_params()
      parameters.flags = UInt32(flags)
      parameters.cq_entries = options.completionEntries
      let result = io_uring_queue_init_params(options.submissionEntries, ring, &parameters)
      if result == 0 {
        try checkFeatures(ring, parameters)
        return
      }
      refusal = -result
      // Only an unknown flag is worth another try.
      if refusal != EINVAL { break }
    }
    throw RingError(operation: "io_uring_setup", errno: refusal)
  }

  private static func checkFeatures(
    _ ring: UnsafeMutablePointer<io_uring>, _ parameters: io_uring_params
  ) throws(RingError) {
    let needed = IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP
    guard parameters.features & UInt32(needed) == UInt32(needed) else {
      io_uring_queue_exit(ring)
      throw RingError(operation: "io_uring feature check", errno: EINVAL)
    }
  }
}
