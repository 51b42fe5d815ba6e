// Goal: who takes the running sidecar over can't start programs, reach other files or other processes, or open up more
// of the kernel than the proxy needs; and the proxy misses nothing.
// Method: the production binary's threads are looked at in /proc, and made to call the kernel by a debugger's means. All
// other tests of this bundle run against a confined sidecar as well.

import Glibc
import TestSupport
import Testing

@Suite("Confinement", .enabled(if: SidecarProcess.isConfined))
struct ConfinementTests {
  private static func field(_ name: String, of thread: String) throws -> String? {
    try Files.read("\(thread)/status").split(separator: "\n").first { $0.hasPrefix("\(name):") }
      .map { String($0.drop { $0 != "\t" }.dropFirst()) }
  }

  @Test("Every thread runs without new privileges, without capabilities and behind the filter")
  func everyThread() throws {
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())], workers: 2)
    try sidecar.connect().ping()
    let tasks = "/proc/\(sidecar.process.pid)/task"
    let threads = try Files.list(tasks)
    // Control, two workers, access log, endpoints.
    #expect(threads.count >= 5)
    for thread in threads.map({ "\(tasks)/\($0)" }) {
      #expect(try Self.field("NoNewPrivs", of: thread) == "1")
      #expect(try Self.field("Seccomp", of: thread) == "2")
      for kind in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        #expect(try Self.field(kind, of: thread) == "0000000000000000", "\(kind)")
      }
    }
    // What isn't dumpable belongs to root: other processes of the same user can't look at it.
    var status = stat()
    try #require(stat("/proc/\(sidecar.process.pid)/environ", &status) == 0)
    #expect(status.st_uid == 0)
    #expect(sidecar.process.errorOutput.contains("INFO confined: no new privileges, memory closed to others, no cap"))
    try sidecar.stop()
  }

  @Test("A port below 1024 keeps the one capability that binding it takes", .enabled(if: Programs.allowsRoot))
  func privilegedPort() throws {
    let app = try AppServer.echo()
    let listener = try SidecarProcess.Listener(bind: .tcp(address: "127.0.0.1", port: 999), to: app)
    let sidecar = try SidecarProcess([listener])
    let status = "/proc/\(sidecar.process.pid)"
    #expect(try Self.field("CapEff", of: status) == "0000000000000400")
    try sidecar.stop()
  }

  @Test("off: the process keeps what it has, and says so")
  func off() throws {
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())], settings: ["confinement": "off"])
    #expect(try Self.field("Seccomp", of: "/proc/\(sidecar.process.pid)") == "0")
    #expect(try Self.field("NoNewPrivs", of: "/proc/\(sidecar.process.pid)") == "0")
    #expect(sidecar.process.errorOutput.contains("not confined: confinement is off"))
    try sidecar.stop()
  }

  @Test("A name is resolved, and its thread started, by a confined process: at the start and after a reload")
  func resolver() throws {
    let app = try AppServer.echo()
    var listener = try SidecarProcess.Listener(to: app)
    let sidecar = try SidecarProcess([listener])
    listener.target = "localhost:\(app.endpoint.port)"
    try sidecar.rewriteConfiguration([listener])
    sidecar.process.signal(SIGHUP)
    try eventually("the name has been resolved") { sidecar.process.errorOutput.contains("\(listener.target): ") }
    try sidecar.connect().ping()
    let tasks = "/proc/\(sidecar.process.pid)/task"
    let resolver = try Files.list(tasks).first { try Self.field("Name", of: "\(tasks)/\($0)") == "resolver" }
    #expect(try Self.field("Seccomp", of: "\(tasks)/\(try #require(resolver))") == "2")
    try sidecar.stop()
  }

  @Test("A reload that would leave the directories that are known is refused, with the mend")
  func reloadElsewhere() throws {
    let elsewhere = try TemporaryDirectory()
    let listener = try SidecarProcess.Listener(to: try AppServer.echo())
    let sidecar = try SidecarProcess([listener])
    let path = elsewhere.file("access.log")
    try sidecar.rewriteConfiguration([listener], settings: ["accessLog": "{path: \"\(path)\", format: text}"])
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("the reload fails") {
      $0.sum("sidecar_config_reloads_total", ["result": "failure"]) >= 1
    }
    #expect(
      sidecar.process.errorOutput.contains(
        "accessLog.path: \(path) is outside of what this process has confined itself to write; restart it"))
    #expect(!Files.exists(path))
    try sidecar.connect().ping()
    try sidecar.stop()
  }

  @Test("validate shows what would be given up")
  func validate() throws {
    let directory = try TemporaryDirectory()
    let arguments = ["validate", "--forward", "127.0.0.1:9000=127.0.0.1:8080"]
    let process = try SidecarProcess.run(arguments, in: directory)
    #expect(try process.wait() == .exited(0))
    #expect(process.output.contains("confinement: auto\n  no new privileges\n  memory closed to others\n  no capab"))
    #expect(process.output.contains("and writes /dev/stdout"))
    #expect(process.output.contains("without new programs, processes or rings"))
  }

  @Test(
    "A kernel without Landlock: auto goes on and warns, required doesn't start", .enabled(if: Programs.allow("python3"))
  )
  func withoutLandlock() throws {
    let launcher = HiddenSystemCall.landlockCreateRuleset.launcher
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)], launcher: launcher)
    try sidecar.connect().ping()
    #expect(
      sidecar.process.errorOutput.contains("WARNING not confined in this respect: files: Function not implemented"))
    #expect(try Self.field("Seccomp", of: "/proc/\(sidecar.process.pid)") == "2")
    try sidecar.stop()

    let refused = try SidecarProcess(
      [.init(to: app)], settings: ["confinement": "required"], launcher: launcher, awaitsReadiness: false)
    #expect(try refused.process.wait() == .exited(1))
    #expect(refused.process.errorOutput.contains("confinement: required, but files: Function not implemented"))
  }

  #if arch(x86_64)
    /// What an intruder tries, and the refusal. Numbers of asm/unistd_64.h.
    private static let attempts: [(what: String, number: Int, arguments: [Intruder.Argument], refusal: Int32)] = [
      ("execve", 59, [.text("/bin/true"), .number(0), .number(0)], ENOSYS),
      ("execveat", 322, [.number(-100), .text("/bin/true"), .number(0), .number(0), .number(0)], ENOSYS),
      ("fork", 57, [], ENOSYS),
      ("vfork", 58, [], ENOSYS),
      ("clone of a process", 56, [.number(Int(SIGCHLD)), .number(0)], EPERM),
      ("clone3", 435, [.number(0), .number(0)], ENOSYS),
      ("unshare of the user namespace", 272, [.number(0x1000_0000)], ENOSYS),
      ("setns", 308, [.number(0), .number(0)], ENOSYS),
      ("io_uring_setup", 425, [.number(8), .number(0)], ENOSYS),
      ("io_uring_register of buffers", 427, [.number(3), .number(0), .number(0), .number(0)], EPERM),
      ("ptrace", 101, [.number(16), .number(1)], ENOSYS),
      ("process_vm_readv", 310, [.number(1)], ENOSYS),
      ("pidfd_open", 434, [.number(1), .number(0)], ENOSYS),
      ("kill", 62, [.number(1), .number(0)], ENOSYS),
      ("tgkill of another process", 234, [.number(1), .number(1), .number(0)], EPERM),
      ("mount", 165, [.text("tmpfs"), .text("/tmp"), .text("tmpfs"), .number(0)], ENOSYS),
      ("chroot", 161, [.text("/tmp")], ENOSYS),
      ("bpf", 321, [.number(0), .number(0), .number(0)], ENOSYS),
      ("perf_event_open", 298, [.number(0)], ENOSYS),
      ("userfaultfd", 323, [.number(0)], ENOSYS),
      ("init_module", 175, [.number(0)], ENOSYS),
      ("keyctl", 250, [.number(0)], ENOSYS),
      ("memfd_create", 319, [.text("code"), .number(0)], ENOSYS),
      ("setuid", 105, [.number(0)], ENOSYS),
      ("prctl of dumpable", 157, [.number(4), .number(1)], EPERM),
      ("setrlimit", 302, [.number(0), .number(7), .number(4_096), .number(0)], EPERM),
      ("packet socket", 41, [.number(17), .number(3), .number(0)], EPERM),
      ("kernel crypto socket", 41, [.number(38), .number(5), .number(0)], EPERM),
      (
        "memory that is code", 9, [.number(0), .number(4_096), .number(7), .number(0x22), .number(-1), .number(0)],
        EPERM
      ),
      ("memory that becomes code", 10, [.number(0), .number(4_096), .number(5)], EPERM),
      ("terminal injection", 16, [.number(0), .number(0x5412), .number(0)], EPERM),
      ("a link", 88, [.text("/etc/passwd"), .text("/tmp/link")], ENOSYS),
      ("a mode", 90, [.text("/etc/passwd"), .number(0o666)], ENOSYS),
    ]

    @Test("What an intruder would do next is refused on every thread", .enabled(if: Programs.allowsRoot))
    func intrusion() throws {
      let sidecar = try SidecarProcess([.init(to: try AppServer.echo())])
      try sidecar.connect().ping()
      let threads = try Intruder.threads(of: sidecar.process)
      for thread in threads {
        // Controls: the means work, and what is allowed is done.
        #expect(try thread.call(39, []) == Int(sidecar.process.pid), "getpid")
        for attempt in Self.attempts {
          let result = try thread.call(attempt.number, attempt.arguments)
          #expect(result == -Int(attempt.refusal), "\(attempt.what) on thread \(thread.thread)")
        }
      }
      // Nobody noticed.
      try sidecar.connect().ping()
      try sidecar.stop()
    }

    @Test("Only the directories of the configuration are in reach", .enabled(if: Programs.allowsRoot))
    func files() throws {
      let elsewhere = try TemporaryDirectory()
      let secret = elsewhere.file("secret")
      try Files.write("not for the sidecar", to: secret)
      let sidecar = try SidecarProcess([.init(to: try AppServer.echo())])
      let open = { (thread: Intruder, path: String, flags: Int32) in
        let result = try thread.call(2, [.text(path), .number(Int(flags)), .number(0o600)])
        if result >= 0 { _ = try thread.call(3, [.number(result)]) }
        return result
      }
      let create = O_WRONLY | O_CREAT
      for thread in try Intruder.threads(of: sidecar.process) {
        #expect(try open(thread, "/etc/hosts", O_RDONLY) >= 0)
        #expect(try open(thread, sidecar.configurationPath, O_RDONLY) >= 0)
        #expect(try open(thread, sidecar.directory.file("access.log.1"), create) >= 0)
        let denied = -Int(EACCES)
        #expect(try open(thread, secret, O_RDONLY) == denied)
        #expect(try open(thread, secret, O_WRONLY | O_TRUNC) == denied)
        #expect(try open(thread, elsewhere.file("new"), create) == denied)
        #expect(try open(thread, "/root", O_RDONLY | O_DIRECTORY) == denied)
        #expect(try open(thread, "/etc/hosts", O_WRONLY) == denied)
        #expect(try thread.call(87, [.text(secret)]) == denied, "unlink")
        #expect(
          try thread.call(82, [.text(secret), .text(sidecar.directory.file("mine"))]) == denied, "rename")
      }
      #expect(try Files.read(secret) == "not for the sidecar")
      try sidecar.stop()
    }
  #endif
}
