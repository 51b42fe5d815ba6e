// Goal: an operator whose host refuses a kernel reads which call was refused and what to change.
// Method: every errno that set-up can answer, against what the text has to name; real refusals where a host can be
// brought to give one (limits of a child process).

import Glibc
import IOUring
import Testing

@Suite struct RingErrorTests {
  /// Each known refusal names its own mend.
  @Test(arguments: [
    (ENOSYS, "seccomp"), (ENOMEM, "ulimit -l"), (EINVAL, "5.19"), (EMFILE, "ulimit -n"), (ENFILE, "ulimit -n"),
    (EPERM, "io_uring_setup, io_uring_enter and io_uring_register"), (EACCES, "io_uring"), (EIO, "engine: epoll"),
  ])
  func refusalNamesItsMend(errno: Int32, mend: String) {
    let error = RingError(operation: "io_uring_setup", errno: errno)
    #expect(error.mend.contains(mend))
    #expect(error.description.hasPrefix("io_uring_setup failed: \(String(cString: strerror(errno))); "))
    #expect(!error.description.contains("\n"))
  }

  /// A host that allows io_uring passes the check; the setting is one of the documented three.
  @Test func checkPassesWhereIOUringIsAllowed() throws {
    #expect((0...2).contains(RingSupport.disabledSetting()))
    try RingSupport.check()
  }

  /// Out of descriptors is said for both kernels; with some to spare, they come and go and leave none behind.
  @Test func outOfDescriptorsIsSaid() async {
    await #expect(processExitsWith: .success) {
      // Standard input, output and error fill such a limit, whatever else the process does.
      var limit = rlimit(rlim_cur: 3, rlim_max: 4_096)
      try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
      #expect(throws: RingError(operation: "io_uring_setup", errno: EMFILE)) { _ = try Ring() }
      #expect(throws: RingError(operation: "epoll_create1", errno: EMFILE)) { _ = try Epoll() }
      limit.rlim_cur = 64
      try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
      for _ in 0..<100 {
        _ = try Ring()
        _ = try Epoll()
      }
    }
  }
}
