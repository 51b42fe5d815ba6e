// Goal: the commands do from outside what their help says, and say in one line why they can't; with exit status 0, 1 when
// something failed, and 2 for bad usage.
// Method: the real binary, beside a running sidecar of its own, or beside nothing.

import Glibc
import TestSupport
import Testing

@Suite("Commands")
struct CommandTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test(
    "demo, without any file: messages through two sidecars, sessions that resume, metrics where it says; SIGINT ends it"
  )
  func demo() throws {
    let demo = try ChildProcess(
      [try SidecarProcess.binary(), "demo", "--connections", "2"], environment: SidecarProcess.environment,
      in: directory)
    let outbound = try awaitValue("the demo says where its metrics are") { () -> Endpoint? in
      let words = demo.output.split(whereSeparator: \.isWhitespace)
      let url = words.first { $0.hasPrefix("http://127.0.0.1:") && $0.hasSuffix("/metrics") }
      return url?.split(separator: ":").last.flatMap { UInt16($0.prefix { $0.isNumber }) }.map(Endpoint.loopback)
    }
    try eventually("connections of the demo resume their sessions") {
      let metrics = try MetricsText(parsing: HTTPClient.request("GET", "/metrics", at: outbound).text)
      return metrics.sum("sidecar_tls_handshakes_total", ["result": "ok", "resumed": "true"]) > 0
    }
    try eventually("a line of numbers") { demo.output.contains("messages/s") }
    demo.signal(SIGINT)
    #expect(try demo.wait() == .exited(0), "\(demo.errorOutput)")
    let last = try #require(demo.output.split(separator: "\n").last)
    let messages = last.split(separator: " ").compactMap { Int($0) }.first
    #expect(last.hasPrefix("ended; ") && messages ?? 0 > 0, "\(last)")
  }

  @Test("status and top show a live connection, drain and shutdown do what SIGTERM does in two steps")
  func remoteControl() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)], settings: ["drain": "{grace: 0s, deadline: 30s}"])
    let client = try sidecar.connect()
    try client.ping()
    let admin = ["--admin", "\(sidecar.adminEndpoint)"]
    let bind = try sidecar.endpoint()

    let status = try output(["status"] + admin)
    #expect(status.contains("serving, connections 1"))
    #expect(status.contains("inbound: \(bind) → \(app.endpoint), tls off"))
    let json = try output(["status", "--json"] + admin)
    #expect(json.hasPrefix("{") && json.contains("\"connections\":1"))
    let top = try output(["top", "--count", "1"] + admin)
    let row = top.split(separator: "\n").last?.split(separator: " ") ?? []
    #expect(row.contains("inbound") && row.contains("\(app.endpoint)") && row.contains("relaying"), "\(top)")

    #expect(try output(["drain"] + admin).hasPrefix("draining"))
    try eventually("nobody is let in") {
      try (try? sidecar.connect()) == nil && output(["status"] + admin).contains("drain")
    }
    try client.ping()
    #expect(sidecar.process.isRunning)
    #expect(try output(["shutdown"] + admin).hasPrefix("draining, then ending"))
    client.close()
    #expect(try sidecar.process.wait() == .exited(0))
  }

  @Test("wait is done as soon as the proxy is ready, and gives up in time")
  func wait() throws {
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())])
    _ = try output(["wait", "--address", "\(sidecar.metricsEndpoint)"])
    try sidecar.stop()
    let late = try SidecarProcess.run(
      ["wait", "--address", "\(sidecar.metricsEndpoint)", "--timeout", "1"], in: directory)
    #expect(try late.wait() == .exited(1))
    #expect(late.errorOutput.contains("not ready after 1 s: connect to \(sidecar.metricsEndpoint)"))
  }

  @Test(
    "With nobody there, the commands that talk to a proxy say so", arguments: ["status", "top", "drain", "shutdown"])
  func nobodyThere(command: String) throws {
    let nowhere = try Endpoint.freeLoopback()
    let process = try SidecarProcess.run([command, "--admin", "\(nowhere)"], in: directory)
    #expect(try process.wait() == .exited(1))
    #expect(process.errorOutput.split(separator: "\n").count == 1)
    #expect(process.errorOutput.contains("connect to \(nowhere): Connection refused; is the proxy running"))
  }

  @Test("dev-certs makes what run takes; each key is its owner's alone")
  func devCerts() throws {
    let ids = ["spiffe://test.local/ns/web/sa/app", "spiffe://test.local/ns/db/sa/app"]
    _ = try output(["dev-certs", "--directory", directory.file("certs"), "--trust-domain", "test.local"] + ids)
    for workload in ["ns/web/sa/app", "ns/db/sa/app"] {
      let files = directory.file("certs/\(workload)")
      var status = stat()
      #expect(stat("\(files)/tls.key", &status) == 0 && status.st_mode & 0o777 == 0o600)
      let identity = "{certificate: \(files)/tls.crt, privateKey: \(files)/tls.key, trustBundle: \(files)/ca.crt}"
      let sidecar = try SidecarProcess(
        [.init(to: try AppServer.echo(), options: ["tls": "strict"])], settings: ["identity": identity])
      let certificates = try HTTPClient.request("GET", "/certificates", at: sidecar.adminEndpoint).text
      #expect(certificates.contains("spiffe://test.local/\(workload)"))
      try sidecar.stop()
    }
    let stranger = try SidecarProcess.run(
      ["dev-certs", "--directory", directory.file("other"), "spiffe://elsewhere/ns/a"], in: directory)
    #expect(try stranger.wait() == .exited(2))
    #expect(!Files.exists(directory.file("other")))
  }

  @Test(
    "Bad usage is told with exit 2",
    arguments: [
      ["run", "--wrokers", "2"], ["demo", "--connections", "0"], ["status", "--admin", "x"],
      ["wait", "--timeout", "20000000000"],
    ])
  func badUsage(arguments: [String]) throws {
    let process = try SidecarProcess.run(arguments, in: directory)
    #expect(try process.wait() == .exited(2))
    #expect(!process.errorOutput.isEmpty && process.output.isEmpty)
  }

  @Test("validate tells what would stop run on this host, and shows what is in effect")
  func validateTriesHost() throws {
    // TEST-NET-3, RFC 5737: nobody's address.
    let refused = try SidecarProcess.run(
      [
        "validate", "--forward", "203.0.113.1:\(try Ports.free())=127.0.0.1:80",
        "--access-log-path", "/nonexistent/access.log",
      ], in: directory)
    #expect(try refused.wait() == .exited(2))
    #expect(refused.errorOutput.contains("listener forward-1: can't bind 203.0.113.1:"))
    #expect(refused.errorOutput.contains("access log /nonexistent/access.log: can't open: No such file or directory"))
    #expect(refused.output.contains("\nin effect:\n  workers: auto\n"))

    let app = try AppServer.echo()
    let log = directory.file("access.log")
    let taken = try output(["validate", "--forward", "\(app.endpoint)=127.0.0.1:80", "--access-log-path", log])
    #expect(taken.contains("warning: listener forward-1: can't bind \(app.endpoint): Address already in use"))
    #expect(!Files.exists(log))
  }

  @Test("version is the version of the metrics, too")
  func version() throws {
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())])
    let version = try output(["version"]).split(separator: "\n")
    #expect(version.count == 1)
    #expect(try sidecar.metrics().sum("sidecar_build_info", ["version": String(version[0])]) == 1)
    try sidecar.stop()
  }

  private func output(_ arguments: [String]) throws -> String {
    try ChildProcess.run(
      [try SidecarProcess.binary()] + arguments, environment: SidecarProcess.environment, in: directory)
  }
}
