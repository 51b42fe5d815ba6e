// Goal: every kind of target is reached, over either family, and one that can't be ends the connection with a reset and
// its own reason.
// Method: one listener and one app for each kind; what the app gets, the access log and the metrics say the rest.

import Glibc
import TestSupport
import Testing

@Suite("Targets")
struct TargetTests {
  @Test("Nothing listens at the target")
  func refused() throws {
    let sidecar = try SidecarProcess([.init(target: "127.0.0.1:\(try Ports.free())")])
    let client = try sidecar.connect()
    #expect(try client.ending() == .reset)
    try sidecar.awaitClosed("connect_refused")
    #expect(try sidecar.metrics().sum("sidecar_connect_failures_total", ["reason": "refused"]) == 1)
    let line = try #require(try sidecar.awaitAccessLog(1).first)
    #expect(line["reason"] == "connect_refused")
    #expect(line["errno"] == "ECONNREFUSED")
    #expect(line["received_bytes"] == "0")
    try sidecar.stop()
  }

  @Test("A name that nobody knows")
  func unresolvable() throws {
    // RFC 6761 section 6.4 keeps the domain empty.
    let sidecar = try SidecarProcess([.init(target: "nobody.invalid:80")])
    let client = try sidecar.connect()
    #expect(try client.ending() == .reset)
    try sidecar.awaitClosed("resolve_failed")
    #expect(try sidecar.metrics().sum("sidecar_connect_failures_total", ["reason": "resolve"]) == 1)
    #expect(sidecar.process.errorOutput.contains("nobody.invalid"))
    try sidecar.stop()
  }

  @Test(
    "A name that leads back to the listener: found out before it takes all connections",
    .enabled(if: Programs.allowsRoot && Programs.allow("unshare"), "needs root, for an /etc/hosts of its own"),
    arguments: [1, 2])
  func leadsBack(workers: Int) throws {
    let directory = try TemporaryDirectory()
    try Files.write("127.0.0.1 myself.test\n", to: directory.file("hosts"))
    let launcher = [
      "unshare", "--mount", "sh", "-c", "mount --bind \(directory.file("hosts")) /etc/hosts && exec \"$@\"", "sh",
    ]
    let port = try Ports.free()
    let sidecar = try SidecarProcess(
      [.init(bind: .loopback(port), target: "myself.test:\(port)")], workers: workers, launcher: launcher)
    #expect(try sidecar.connect().ending() == .reset)
    let metrics = try sidecar.awaitMetrics("all have ended") { $0.sum("sidecar_connections_active") == 0 }
    #expect(metrics.sum("sidecar_connections_closed_total", ["reason": "connect_loop"]) >= 1)
    #expect(metrics.sum("sidecar_connections_opened_total") < 200)
    try sidecar.stop()
  }

  @Test(
    "A name with an IPv6 and an IPv4 address: the one that refuses is passed over",
    .enabled(if: Programs.allowsRoot && Programs.allow("unshare"), "needs root, for an /etc/hosts of its own"))
  func severalAddresses() throws {
    let directory = try TemporaryDirectory()
    try Files.write("127.0.0.1 app.test\n::1 app.test\n", to: directory.file("hosts"))
    // A mount namespace in which the name has both addresses.
    let launcher = [
      "unshare", "--mount", "sh", "-c", "mount --bind \(directory.file("hosts")) /etc/hosts && exec \"$@\"", "sh",
    ]
    var failures = 0
    for family in [AF_INET, AF_INET6] {
      let port = try Ports.free()
      let app = try AppServer.echo(at: family == AF_INET ? .loopback(port) : .loopback6(port))
      let sidecar = try SidecarProcess([.init(target: "app.test:\(port)")], launcher: launcher)
      let client = try sidecar.connect()
      try client.ping()
      client.close()
      let line = try #require(try sidecar.awaitAccessLog(1).first)
      #expect(line["upstream"] == "\(app.endpoint)")
      failures += try sidecar.metrics().sum("sidecar_connect_failures_total", ["reason": "refused"])
      try sidecar.stop()
      app.stop()
    }
    // Whichever family comes first refused once.
    #expect(failures == 1)
  }

  @Test("A Unix socket, and one that isn't there")
  func unixSocket() throws {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let app = try AppServer.echo(at: .unix(path: directory.file("app.sock")))
    let sidecar = try SidecarProcess([
      .init(to: app), .init("missing", target: "unix:\(directory.file("missing.sock"))"),
    ])
    let client = try sidecar.connect()
    for _ in 0..<100 { try client.ping() }
    let bytes = 4_000_000
    let reader = BackgroundJob { try client.receive(exactly: bytes) }
    let sent = (0..<bytes).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    try client.send(sent)
    #expect(try reader.wait() == sent)
    client.close()

    #expect(try sidecar.connect(to: "missing").ending() == .reset)
    try sidecar.awaitClosed("connect_refused", listener: "missing")
    try sidecar.awaitClosed("downstream_closed")
    try sidecar.stop()
  }

  @Test("Half-close and reset through a Unix socket")
  func unixSocketEndings() throws {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let app = try AppServer(at: .unix(path: directory.file("app.sock"))) { connection in
      let (request, _) = try connection.drain()
      try connection.send("\(request.count)")
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    try client.send([UInt8](repeating: 7, count: 300_000))
    try client.finish()
    let (answer, ending) = try client.drain()
    #expect(String(decoding: answer, as: UTF8.self) == "300000")
    #expect(ending == .finished)

    let resetting = try sidecar.connect()
    try resetting.send("request")
    try eventually("the app has the connection") { app.acceptedCount == 2 }
    resetting.reset()
    try sidecar.awaitClosed("downstream_reset")
    try sidecar.stop()
  }

  @Test("IPv6 on both sides, and a dual-stack listener")
  func ipv6() throws {
    let app = try AppServer.echo(at: .loopback6(try Ports.free()))
    let dual = try Ports.free()
    let sidecar = try SidecarProcess([
      .init(bind: .loopback6(try Ports.free()), to: app),
      .init("dual", bind: .tcp(address: "::", port: dual), to: app),
    ])
    try sidecar.connect().ping()
    try Connection(to: .loopback6(dual)).ping()
    try Connection(to: .loopback(dual)).ping()
    let lines = try sidecar.awaitAccessLog(3)
    #expect(lines.allSatisfy { $0["upstream"] == "\(app.endpoint)" })
    let downstreams = lines.map { $0["downstream", default: ""] }
    #expect(downstreams.count { $0.hasPrefix("[::1]:") } == 2)
    #expect(downstreams.count { $0.hasPrefix("127.0.0.1:") } == 1)
    try sidecar.stop()
  }

  @Test("original-destination without redirection would lead back here, and is refused")
  func originalDestinationWithoutRedirection() throws {
    let sidecar = try SidecarProcess([
      .init("outbound", direction: "outbound", target: "original-destination"),
      .init("outbound6", direction: "outbound", bind: .loopback6(try Ports.free()), target: "original-destination"),
    ])
    for listener in ["outbound", "outbound6"] {
      #expect(try sidecar.connect(to: listener).ending() == .reset)
      try sidecar.awaitClosed("connect_loop", listener: listener)
    }
    #expect(try sidecar.metrics().sum("sidecar_connect_failures_total", ["reason": "loop"]) == 2)
    try sidecar.stop()
  }
}
