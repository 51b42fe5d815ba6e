// A kernel, or a container runtime's profile, that doesn't have a system call: for the program that is started under it,
// the call fails with ENOSYS.

/// Calls that hosts lack. Their numbers are the same on all architectures.
package enum HiddenSystemCall: Int, Sendable {
  case ioUringSetup = 425
  case landlockCreateRuleset = 444

  /// What to put in front of a command.
  package var launcher: [String] { ["python3", "-c", Self.script, "\(rawValue)"] }

  /// Four instructions of BPF (seccomp(2)): load the number; is it that one; ENOSYS; allow.
  private static let script = """
    import ctypes, os, struct, sys
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in [
        (0x20, 0, 0, 0), (0x15, 0, 1, int(sys.argv[1])), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7fff0000)])
    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]
    libc = ctypes.CDLL(None)
    PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(4, code))) == 0
    os.execvp(sys.argv[2], sys.argv[2:])
    """
}
