// Goal: a sidecar that can't start says in one line what is wrong, where, and how to mend it; with exit status 2 for
// what the operator wrote and 1 for what the host refused.
// Method: the real binary with one mistake at a time. The table of all configuration mistakes is in ConfigurationTests.

import Glibc
import TestSupport
import Testing

@Suite("Start failures")
struct StartFailureTests {
  private static let good = """
    listeners:
      - {name: inbound, direction: inbound, bind: "127.0.0.1:LISTEN", target: "127.0.0.1:9"}
    metrics: {bind: "127.0.0.1:METRICS"}
    admin: {bind: "127.0.0.1:ADMIN"}

    """

  /// Ports of the configuration above, by their place in it.
  private static func configuration(_ text: String = good, taken: (name: String, port: UInt16)? = nil) throws -> String
  {
    var result = text
    for name in ["LISTEN", "METRICS", "ADMIN"] {
      let port = name == taken?.name ? taken?.port ?? 0 : try Ports.free()
      result = result.split(separator: name, omittingEmptySubsequences: false).joined(separator: "\(port)")
    }
    return result
  }

  @Test(
    "A mistake in the file: its place, what is wrong, and exit 2",
    arguments: [
      (
        "listeners:\n  - {name: inbound, direction: inbound, bnid: \"127.0.0.1:1\", target: \"127.0.0.1:2\"}\n", 2,
        "bind"
      ),
      ("workers: many\n" + good, 1, "workers"),
      ("listeners: [\n", 2, ""),
      ("listeners:\n  - {name: inbound, direction: inbound, bind: \"127.0.0.1:1\"}\n", 2, "target"),
    ])
  func mistakeInFile(text: String, line: Int, names word: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("sidecar.yaml")
    try Files.write(try Self.configuration(text), to: path)
    let process = try SidecarProcess.run(["run", "--config", path], in: directory)
    #expect(try process.wait() == .exited(2))
    #expect(process.errorOutput.contains("\(path):\(line):"), "\(process.errorOutput)")
    #expect(process.errorOutput.contains(word))
    #expect(process.output.isEmpty)
  }

  @Test("All mistakes at once, one line each")
  func allMistakes() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("sidecar.yaml")
    try Files.write(try Self.configuration("wrokers: 1\ndrain: {grace: soon}\n" + Self.good), to: path)
    let process = try SidecarProcess.run(["run", "--config", path], in: directory)
    #expect(try process.wait() == .exited(2))
    let lines = process.errorOutput.split(separator: "\n")
    #expect(lines.contains { $0.contains("\(path):1:1:") && $0.contains("workers") })
    #expect(lines.contains { $0.contains("\(path):2:") && $0.contains("drain.grace") })
  }

  @Test("A file that isn't there, or isn't a file", arguments: ["missing.yaml", ""])
  func unreadable(name: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file(name)
    let process = try SidecarProcess.run(["run", "--config", path], in: directory)
    #expect(try process.wait() == .exited(2))
    #expect(process.errorOutput.contains(path), "\(process.errorOutput)")
    #expect(process.errorOutput.split(separator: "\n").count == 1)
  }

  @Test(
    "Nothing to do, or a flag that nobody knows", arguments: [["run"], ["run", "--no-such-flag"], ["no-such-command"]])
  func badUsage(arguments: [String]) throws {
    let directory = try TemporaryDirectory()
    let process = try SidecarProcess.run(arguments, in: directory)
    #expect(try process.wait() == .exited(2))
    #expect(!process.errorOutput.isEmpty)
  }

  @Test("A port in use: which one, who wants it, and exit 1", arguments: ["LISTEN", "METRICS", "ADMIN"])
  func portInUse(name: String) throws {
    let directory = try TemporaryDirectory()
    let taken = try ListeningSocket()
    let path = directory.file("sidecar.yaml")
    try Files.write(try Self.configuration(taken: (name, taken.endpoint.port)), to: path)
    let process = try SidecarProcess.run(["run", "--config", path], in: directory)
    #expect(try process.wait() == .exited(1))
    let lines = process.errorOutput.split(separator: "\n").filter { $0.contains("\(taken.endpoint.port)") }
    // The last line is the one that operators see first.
    #expect(lines.last == process.errorOutput.split(separator: "\n").last, "\(process.errorOutput)")
    #expect(lines.last?.contains("port") == true)
  }

  @Test("An access log in a directory that isn't there: its path, and exit 1 or 2")
  func accessLog() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("sidecar.yaml")
    let log = directory.file("missing/access.log")
    try Files.write(try Self.configuration(Self.good + "accessLog: {path: \"\(log)\"}\n"), to: path)
    let process = try SidecarProcess.run(["run", "--config", path], in: directory)
    #expect([.exited(1), .exited(2)].contains(try process.wait()))
    #expect(process.errorOutput.contains(log), "\(process.errorOutput)")
  }

  @Test("Too few open files for a start: one line with the mend, and exit 1", arguments: [8, 12, 24])
  func fewOpenFiles(limit: Int) throws {
    let sidecar = try SidecarProcess(
      [.init(target: "127.0.0.1:9")], launcher: ["prlimit", "--nofile=\(limit)"], awaitsReadiness: false)
    #expect(try sidecar.process.wait() == .exited(1))
    #expect(sidecar.process.errorOutput.contains("\(limit) open files are not enough for 1 worker; raise the limit"))
  }

  @Test(
    "Too little address space: one line with the mend and exit 1, and exit 2 from validate",
    arguments: ["run", "validate"])
  func littleAddressSpace(command: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("sidecar.yaml")
    try Files.write(try Self.configuration(), to: path)
    // 4,096 open files ask for 3.6 GiB.
    let process = try SidecarProcess.run(
      [command, "--config", path], in: directory, launcher: ["prlimit", "--as=3000000000", "--nofile=4096"])
    #expect(try process.wait() == .exited(command == "run" ? 1 : 2))
    #expect(process.errorOutput.contains("GiB failed: Cannot allocate memory; the limit on address space (ulimit -v)"))
  }

  @Test("Started without standard streams, it opens nothing in their place")
  func closedStandardStreams() throws {
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo())], settings: ["accessLog": "{format: off}"],
      launcher: ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
    try sidecar.connect().ping()
    for stream in 0...2 {
      #expect(try Files.target(ofLink: "/proc/\(sidecar.process.pid)/fd/\(stream)") == "/dev/null")
    }
    try sidecar.stop()
  }
}
