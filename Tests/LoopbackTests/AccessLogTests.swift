// Goal: the access log has one line per connection, whatever happens to its file: rotation by size, SIGHUP at any
// moment, a directory that can't be written to, a full disk. Traffic never notices. Method: the real binary with files
// of 64 KiB, which a few hundred connections fill.

import Glibc
import TestSupport
import Testing

@Suite("Access log files")
struct AccessLogTests {
  private static let maxSize = 64 << 10

  private static func settings(_ path: String, maxFiles: Int) -> [String: String] {
    ["accessLog": "{path: \"\(path)\", format: text, maxSize: 64KiB, maxFiles: \(maxFiles)}"]
  }

  /// Opens connections one after the other; each ends with a line.
  private static func converse(_ count: Int, with sidecar: SidecarProcess) throws {
    for _ in 0..<count { try sidecar.connect().ping() }
    // A connection is counted as closed when its record is on the way to the log.
    try sidecar.awaitMetrics("all connections have ended") { $0.sum("sidecar_connections_active") == 0 }
  }

  private static func lines(_ path: String) throws -> [[String: String]] {
    guard Files.exists(path) else { return [] }
    return try SidecarProcess.parseAccessLog(Files.read(path))
  }

  private static func rotations(_ metrics: MetricsText, _ result: String) -> Int {
    metrics.sum("sidecar_access_log_rotations_total", ["result": result])
  }

  @Test("Rotation by size loses no line and leaves as many files as asked for, none too large")
  func rotation() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("access.log")
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)], workers: 2, settings: Self.settings(path, maxFiles: 3))
    try Self.converse(400, with: sidecar)
    try eventually("all lines are there") { try Self.lines(path + ".1").count + Self.lines(path).count == 400 }
    #expect(try Set(Files.list(directory.path)) == ["access.log", "access.log.1"])
    #expect(Self.rotations(try sidecar.metrics(), "success") == 1)

    try Self.converse(1_000, with: sidecar)
    let names: Set = ["access.log", "access.log.1", "access.log.2"]
    try sidecar.awaitMetrics("more files are full than may be kept") { Self.rotations($0, "success") >= 3 }
    #expect(try Set(Files.list(directory.path)) == names)
    for name in names { #expect(try Files.readBytes(directory.file(name)).count <= Self.maxSize) }
    #expect(try sidecar.metrics().sum("sidecar_access_log_dropped_total") == 0)
    #expect(Self.rotations(try sidecar.metrics(), "failure") == 0)
    try sidecar.stop()
  }

  @Test("SIGHUP after SIGHUP, with renames by another program in between: every line is in one of the files")
  func reopening() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("access.log")
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)], settings: Self.settings(path, maxFiles: 100))
    let rounds = 20
    for round in 0..<rounds {
      for _ in 0..<20 { try sidecar.connect().ping() }
      rename(path, directory.file("taken.\(round)"))
      sidecar.process.signal(SIGHUP)
      try eventually("a new log is there") { Files.exists(path) }
    }
    try eventually("every connection has a line") {
      try Files.list(directory.path).reduce(0) { try $0 + Self.lines(directory.file($1)).count } == rounds * 20
    }
    #expect(try sidecar.metrics().sum("sidecar_access_log_dropped_total") == 0)
    try sidecar.stop()
  }

  @Test("A reload changes the size, and the file that is too large for it goes at once")
  func reload() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("access.log")
    let listener = try SidecarProcess.Listener(to: try AppServer.echo())
    let unlimited = ["accessLog": "{path: \"\(path)\", format: text, maxSize: 0}"]
    let sidecar = try SidecarProcess([listener], settings: unlimited)
    try Self.converse(400, with: sidecar)
    try eventually("all lines are there") { try Self.lines(path).count == 400 }
    try sidecar.rewriteConfiguration([listener], settings: Self.settings(path, maxFiles: 2))
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("the reload succeeds") {
      $0.sum("sidecar_config_reloads_total", ["result": "success"]) > 0
    }
    try Self.converse(1, with: sidecar)
    try eventually("the next line is in a file of its own") { try Self.lines(path).count == 1 }
    #expect(try Self.lines(path + ".1").count == 400)
    try sidecar.stop()
  }

  @Test("An unwritable directory: a warning, a bounded file, dropped lines that are counted, and recovery")
  func unwritableDirectory() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("access.log")
    try Files.write("", to: path)
    chmod(directory.path, 0o555)
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo())], settings: Self.settings(path, maxFiles: 2),
      launcher: Self.withoutFileCapabilities)
    #expect(sidecar.process.errorOutput.contains("can't be rotated: \(directory.path)/ is not writable"))
    try Self.converse(400, with: sidecar)
    try sidecar.awaitMetrics("lines are dropped") { $0.sum("sidecar_access_log_dropped_total") > 0 }
    #expect(Self.rotations(try sidecar.metrics(), "failure") > 0)
    #expect(try Files.readBytes(path).count <= Self.maxSize)
    #expect(sidecar.process.errorOutput.contains("access log \(path): can't rotate: Permission denied"))

    chmod(directory.path, 0o755)
    try eventually("the log goes on in a new file") {
      try Self.converse(1, with: sidecar)
      return Files.exists(path + ".1")
    }
    try sidecar.stop()
  }

  @Test("A limit on the size of files: traffic goes on, lines are dropped and counted")
  func fileSizeLimit() throws {
    let directory = try TemporaryDirectory()
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo())], settings: ["accessLog": "{path: \(directory.file("access.log")), maxSize: 0}"],
      launcher: ["prlimit", "--fsize=16384"])
    try Self.converse(100, with: sidecar)
    try sidecar.awaitMetrics("lines are dropped") { $0.sum("sidecar_access_log_dropped_total") > 0 }
    #expect(sidecar.process.errorOutput.contains("can't write: File too large"))
    try Self.converse(1, with: sidecar)
    try sidecar.stop()
  }

  @Test("A full disk: traffic goes on, lines are dropped and counted until there is room again")
  func fullDisk() throws {
    let directory = try TemporaryDirectory()
    let mount = directory.file("volume")
    mkdir(mount, 0o755)
    // In a mount namespace of its own the volume vanishes with the process. 96 KiB hold a full file and half a one.
    let script = "mount -t tmpfs -o size=96k tmpfs \"$0\" && exec \"$@\""
    let rights = geteuid() == 0 ? [] : ["--map-root-user"]
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo())], settings: Self.settings("\(mount)/access.log", maxFiles: 2),
      launcher: ["unshare", "--mount"] + rights + ["sh", "-c", script, mount])
    // As the sidecar sees it.
    let path = "/proc/\(sidecar.process.pid)/root\(mount)/access.log"
    try Self.converse(1_000, with: sidecar)
    let full = try sidecar.awaitMetrics("lines are dropped") { $0.sum("sidecar_access_log_dropped_total") > 0 }
    #expect(sidecar.process.errorOutput.contains("can't write: No space left on device"))
    #expect(full.sum("sidecar_connections_closed_total") == 1_000)

    try #require(unlink(path + ".1") == 0)
    // The first line after the cut one begins a line of its own: each is whole or has been cut short by the full disk.
    try Self.converse(50, with: sidecar)
    try eventually("lines arrive again") {
      let text = try Files.read(path)
      let broken = text.split(separator: "\n").filter { !$0.contains("sent_bytes=") }
      try #require(broken.count <= 1, "\(broken)")
      return try Files.readBytes(path).count > 32 << 10 && text.hasSuffix("\n")
    }
    try sidecar.stop()
  }

  /// Runs a command as somebody whom file modes bind, which they don't the superuser.
  private static var withoutFileCapabilities: [String] {
    geteuid() == 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : []
  }
}
