// Goal: a changed configuration takes effect without harming a connection, a bad one is refused and changes nothing.
// Method: changes of every kind under connections that talk all the time, announced by SIGHUP or by nothing at all.

import Glibc
import TestSupport
import Testing

@Suite("Reload")
struct ReloadTests {
  private static func reloads(_ metrics: MetricsText, _ result: String) -> Int {
    metrics.sum("sidecar_config_reloads_total", ["result": result])
  }

  @Test("SIGHUP adds and removes listeners; live connections go on, those of a removed listener too")
  func listenersComeAndGo() throws {
    let app = try AppServer.echo()
    let first = try SidecarProcess.Listener("first", to: app)
    let second = try SidecarProcess.Listener("second", to: app)
    let sidecar = try SidecarProcess([first], workers: 2)
    let old = try sidecar.connect(to: "first")
    try old.ping()

    try sidecar.rewriteConfiguration([first, second])
    sidecar.process.signal(SIGHUP)
    try eventually("the second listener serves") { (try? Connection(to: second.bind).ping()) != nil }
    try old.ping()

    try sidecar.rewriteConfiguration([second])
    sidecar.process.signal(SIGHUP)
    try eventually("the first listener is gone") { (try? Connection(to: first.bind)) == nil }
    for _ in 0..<100 { try old.ping() }
    try Connection(to: second.bind).ping()

    old.close()
    try sidecar.awaitMetrics("the removed listener's series end with its last connection") {
      !$0.has("sidecar_connections_active", ["listener": "first"])
    }
    #expect(Self.reloads(try sidecar.metrics(), "failure") == 0)
    try sidecar.stop()
  }

  @Test("Who is in the middle of connecting to a listener that is removed is served", arguments: [1, 2])
  func connectingToRemoved(workers: Int) throws {
    let app = try AppServer.echo()
    let first = try SidecarProcess.Listener("first", to: app)
    let second = try SidecarProcess.Listener("second", to: app)
    let sidecar = try SidecarProcess([first, second], workers: workers)
    let clients = try (0..<16).map { _ in try Connection(to: first.bind, holdsHandshakeBack: true) }
    try sidecar.rewriteConfiguration([second])
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("the listener is removed") { Self.reloads($0, "success") >= 1 }
    for client in clients { try client.ping() }
    for client in clients { client.close() }
    try eventually("the listener is closed") { (try? Connection(to: first.bind)) == nil }
    try sidecar.stop()
  }

  @Test("A listener that is removed and comes back at once is bound, and nothing of the old ones is left")
  func comesBackAtOnce() throws {
    let app = try AppServer.echo()
    let first = try SidecarProcess.Listener("first", to: app)
    let second = try SidecarProcess.Listener("second", to: app)
    // The link moves at once, so that no reload finds half a file.
    let sidecar = try SidecarProcess([first, second], workers: 2, layout: .volume)
    let sockets = try sidecar.process.descriptorCounts()["socket", default: 0]
    for round in 1...10 {
      try sidecar.rewriteConfiguration(round % 2 == 1 ? [second] : [first, second])
      sidecar.process.signal(SIGHUP)
      try sidecar.awaitMetrics("reload \(round)") { Self.reloads($0, "success") >= round }
    }
    try eventually("the listener serves") { (try? Connection(to: first.bind).ping()) != nil }
    for _ in 0..<20 { try Connection(to: first.bind).ping() }
    #expect(Self.reloads(try sidecar.metrics(), "failure") == 0)
    // At the beginning the last probe's connection may have been among them; each round of a leak would add two.
    try eventually("the old sockets are closed") {
      try sidecar.process.descriptorCounts()["socket", default: 0] <= sockets
    }
    try sidecar.stop()
  }

  @Test("Under load: a new target takes the new connections, the old ones stay, none is lost")
  func targetChangesUnderLoad() throws {
    let oldApp = try AppServer.echo()
    let newApp = try AppServer.echo()
    var listener = try SidecarProcess.Listener(to: oldApp)
    let sidecar = try SidecarProcess([listener])
    let load = LoadGenerator(to: listener.bind, short: 4, long: 4)
    try load.awaitProgress()

    listener.target = "\(newApp.endpoint)"
    try sidecar.rewriteConfiguration([listener])
    sidecar.process.signal(SIGHUP)
    try eventually("new connections reach the new target") { newApp.acceptedCount > 0 }
    try eventually("the short ones of before have ended") { oldApp.servedCount == 4 }
    let accepted = oldApp.acceptedCount
    try load.awaitProgress()
    #expect(oldApp.acceptedCount == accepted)
    #expect(oldApp.servedCount == 4)
    _ = try load.stop()
    try sidecar.stop()
  }

  @Test("A bad configuration is refused with its mistakes, and the running one stays")
  func badConfiguration() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([try .init(to: app)])
    let client = try sidecar.connect()
    try Files.write("listeners: [{name: x, bnid: 1}]\n", to: sidecar.configurationPath)
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("the reload fails") { Self.reloads($0, "failure") >= 1 }
    #expect(sidecar.process.errorOutput.contains("\(sidecar.configurationPath):1:"))
    #expect(sidecar.process.errorOutput.contains("bnid"))
    try client.ping()
    try sidecar.connect().ping()
    #expect(try sidecar.metrics().sum("sidecar_config_last_reload_successful") == 0)
    try sidecar.stop()
  }

  @Test(
    "A configuration from a pipe serves for the start; a reload refuses it and keeps what runs",
    arguments: ["--config /dev/stdin < <(cat \"$4\")", "--config <(cat \"$4\")"])
  func configurationFromPipe(arguments: String) throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess(
      [try .init(to: app)], launcher: ["bash", "-c", "exec \"$1\" run \(arguments)", "bash"])
    let client = try sidecar.connect()
    try client.ping()
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("the reload fails") { Self.reloads($0, "failure") == 1 }
    #expect(sidecar.process.errorOutput.contains("this is a pipe, which can be read only once"))
    try client.ping()
    try sidecar.connect().ping()
    try sidecar.stop()
  }

  @Test("A new listener whose port is taken: the whole reload is refused")
  func portInUse() throws {
    let app = try AppServer.echo()
    let taken = try ListeningSocket()
    defer { withExtendedLifetime(taken) {} }
    let listener = try SidecarProcess.Listener(to: app)
    let sidecar = try SidecarProcess([listener])
    let free = try SidecarProcess.Listener("free", to: app)
    try sidecar.rewriteConfiguration([
      free, .init("taken", bind: taken.endpoint, to: app),
    ])
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("the reload fails") { Self.reloads($0, "failure") >= 1 }
    #expect(sidecar.process.errorOutput.contains("taken"))
    // Neither was the free one added nor the old one removed.
    #expect((try? Connection(to: free.bind)) == nil)
    try sidecar.connect().ping()
    try sidecar.stop()
  }

  @Test("A volume's ..data link moves, as Kubernetes updates a ConfigMap: no signal is needed")
  func volumeUpdate() throws {
    let app = try AppServer.echo()
    let first = try SidecarProcess.Listener("first", to: app)
    let second = try SidecarProcess.Listener("second", to: app)
    let sidecar = try SidecarProcess([first], layout: .volume)
    let client = try sidecar.connect(to: "first")
    for round in 1...3 {
      try sidecar.rewriteConfiguration(round % 2 == 1 ? [first, second] : [first])
      try eventually("update \(round) is in effect") {
        ((try? Connection(to: second.bind).ping()) != nil) == (round % 2 == 1)
      }
      try client.ping()
    }
    // It is counted after it has taken effect.
    try sidecar.awaitMetrics("three reloads are counted") { Self.reloads($0, "success") == 3 }
    #expect(Self.reloads(try sidecar.metrics(), "failure") == 0)
    try sidecar.stop()
  }

  @Test("A file that is written in place is noticed")
  func writtenInPlace() throws {
    let app = try AppServer.echo()
    let first = try SidecarProcess.Listener("first", to: app)
    let second = try SidecarProcess.Listener("second", to: app)
    let sidecar = try SidecarProcess([first])
    try sidecar.rewriteConfiguration([first, second])
    try eventually("the second listener serves") { (try? Connection(to: second.bind).ping()) != nil }
    try sidecar.stop()
  }

  @Test("SIGHUP after a rotation: new lines go to a new access log")
  func logRotation() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)])
    try sidecar.connect().ping()
    _ = try sidecar.awaitAccessLog(1)

    let rotated = sidecar.accessLogPath + ".1"
    rename(sidecar.accessLogPath, rotated)
    sidecar.process.signal(SIGHUP)
    try eventually("a new log is there") { Files.exists(sidecar.accessLogPath) }
    try sidecar.connect().ping()
    #expect(try sidecar.awaitAccessLog(1).count == 1)
    #expect(try SidecarProcess.parseAccessLog(Files.read(rotated)).count == 1)
    try sidecar.stop()
  }
}
