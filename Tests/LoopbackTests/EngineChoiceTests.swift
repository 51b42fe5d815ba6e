// Goal: where the host refuses io_uring, `auto` serves on epoll and says once why and how to mend it, and `io_uring`
// fails with the same.
// Method: the real binary under a filter that hides io_uring_setup(2), as a container runtime's default profile does.

import Glibc
import TestSupport
import Testing

@Suite("Choice of the engine", .enabled(if: Programs.allow("python3")))
struct EngineChoiceTests {
  private static func launcher(_ engine: String) -> [String] {
    ["env", "SIDECAR_ENGINE=\(engine)"] + HiddenSystemCall.ioUringSetup.launcher
  }

  private static var ringsAreLockedMemory: Bool {
    let release = (try? Files.read("/proc/sys/kernel/osrelease")) ?? ""
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.count == 2 && (numbers[0], numbers[1]) >= (6, 14)
  }

  @Test("auto goes on with epoll, and logs once why and the mend")
  func auto() throws {
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())], workers: 2, launcher: Self.launcher("auto"))
    try sidecar.connect().ping()
    let engines = try sidecar.metrics().series("sidecar_engine_info").map { $0.labels["engine"] }
    #expect(engines == ["epoll"])
    let lines = sidecar.process.errorOutput.split(separator: "\n").filter { $0.contains("engine auto") }
    #expect(lines.count == 1)
    #expect(
      lines.first?.contains("WARNING engine auto goes on with epoll: io_uring_setup failed: Function not impl") == true)
    #expect(lines.first?.contains("allow io_uring_setup, io_uring_enter and io_uring_register in the pod's") == true)
    try sidecar.stop()
  }

  /// Rings count as locked memory from Linux 6.14 on, and the limit on that binds whoever lacks the capability to go past it.
  @Test(
    "auto goes on with epoll where one ring can be made and as many as there are workers can't",
    .enabled(if: ringsAreLockedMemory, "needs Linux 6.14 or later"), .enabled(if: Programs.allow("setpriv", "prlimit")))
  func ringsForSome() throws {
    let launcher =
      ["env", "SIDECAR_ENGINE=auto", "prlimit", "--memlock=262144"]
      + (geteuid() == 0 ? ["setpriv", "--bounding-set=-ipc_lock"] : [])
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())], workers: 8, launcher: launcher)
    try sidecar.connect().ping()
    let lines = sidecar.process.errorOutput.split(separator: "\n").filter { $0.contains("engine auto") }
    #expect(lines.count == 1)
    #expect(lines.first?.contains("io_uring_setup failed: Cannot allocate memory; the locked-memory limit") == true)
    #expect(try sidecar.metrics().sum("sidecar_engine_info", ["engine": "epoll"]) == 1)
    try sidecar.stop()
  }

  @Test("io_uring fails with the reason and the mend, and exit 1")
  func ioUring() throws {
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo())], launcher: Self.launcher("io_uring"), awaitsReadiness: false)
    #expect(try sidecar.process.wait() == .exited(1))
    #expect(sidecar.process.errorOutput.contains("io_uring_setup failed: Function not implemented; a seccomp profile"))
    #expect(sidecar.process.errorOutput.contains("or set engine: epoll"))
  }
}
