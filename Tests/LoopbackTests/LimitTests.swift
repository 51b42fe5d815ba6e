// Goal: the connection limit and the limit on descriptors delay clients and harm nobody: no spinning, no loss, and
// everyone is served in the end.
// Method: more clients than there is room for; who is served is counted at the app and in the metrics; room is made one
// by one. Descriptors run out by a limit set from outside on the running process.

import Glibc
import TestSupport
import Testing

@Suite("Limits")
struct LimitTests {
  @Test("limits.connections: 3 serves three of six clients, and the others as those end", arguments: [1, 2])
  func connectionLimit(workers: Int) throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)], workers: workers, settings: ["limits": "{connections: 3}"])
    var clients = try (0..<6).map { _ in try sidecar.connect() }
    for client in clients { try client.send("ping") }

    for closedCount in 0...3 {
      try eventually("three clients are served") { clients.count(where: \.isReadable) == min(3, clients.count) }
      // The others would be served by now if they were to be: those that are, have a hundred more answers.
      for client in clients where client.isReadable {
        _ = try client.receive(exactly: 4)
        for _ in 0..<100 { try client.ping() }
        try client.send("ping")
      }
      #expect(app.acceptedCount == 3 + closedCount)
      try eventually("three clients are served again") { clients.count(where: \.isReadable) == min(3, clients.count) }
      let served = try #require(clients.firstIndex { $0.isReadable })
      clients.remove(at: served).close()
    }
    let metrics = try sidecar.awaitMetrics("six connections were opened") {
      $0.sum("sidecar_connections_opened_total") == 6
    }
    #expect(metrics.sum("sidecar_accept_paused_total", ["cause": "connection_limit"]) >= 1)
    #expect(metrics.sum("sidecar_connections_limit") == 3)
    try sidecar.stop()
  }

  @Test("500 clients when descriptors run out: no spinning, and all are served when there are some again")
  func descriptorsRunOut() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)])
    // A scrape needs a descriptor: this connection has its own from now on.
    let scraper = try HTTPClient(to: sidecar.metricsEndpoint)
    let scrape = { try MetricsText(parsing: try scraper.request("GET", "/metrics").text) }
    _ = try scrape()
    let pauses = { (metrics: MetricsText) in
      metrics.sum("sidecar_accept_paused_total", ["cause": "descriptors"])
    }
    // A multishot accept that is armed already goes by the limit of that time: it brings some that find no descriptor.
    let room = 40
    let before = try sidecar.process.limitOpenFiles(to: try sidecar.process.descriptors().count + room)
    var clients = try (0..<60).map { _ in try sidecar.connect() }
    try eventually("accepting pauses") { pauses(try scrape()) >= 1 }
    clients += try (60..<500).map { _ in try sidecar.connect() }
    let asking = try clients.filter { try $0.sendUnlessReset(Array("ping".utf8)) }

    // Others wait at the endpoints as well, more than could find a last descriptor.
    let probers = try (0..<40).map { _ in try HTTPClient(to: sidecar.metricsEndpoint) }
    let first = try scrape()
    let runnable = try sidecar.process.runnableTimes()
    let started = ContinuousClock.now
    // Seldom, because a scrape is work too.
    try eventually(interval: 100, "it is tried again now and then") { pauses(try scrape()) >= pauses(first) + 4 }
    let elapsed = ContinuousClock.now - started
    let busy = try sidecar.process.runnableTimes().map { $1 - runnable[$0, default: .zero] }.max() ?? .zero
    let turns = try scrape().sum("sidecar_worker_turns_total") - first.sum("sidecar_worker_turns_total")
    // Each try is a handful of turns, with back-off in between; a loop that spins does thousands in a millisecond.
    #expect(turns < 200, "\(turns) turns while nothing could be done")
    #expect(busy < elapsed * 3 / 4, "a thread was runnable for \(busy) out of \(elapsed)")

    try sidecar.process.limitOpenFiles(to: before)
    for prober in probers { #expect(try prober.request("GET", "/healthz/live").status == 200) }
    let resets = try clients.count - asking.count + Self.awaitAnswers(asking)
    // The others waited, but for one at each try: it got the last descriptor and had none for its way on.
    #expect(resets <= 60 - room / 2 + pauses(try scrape()))
    try sidecar.awaitClosed("descriptors_exhausted", resets)
    try sidecar.stop()
  }

  @Test("ulimit -n 64 and 500 clients: all are served, a few at a time")
  func tightDescriptorLimit() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess(
      [.init(to: app)], launcher: ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"])
    let clients = try (0..<500).map { _ in try sidecar.connect() }
    for client in clients { try client.send("ping") }
    #expect(try Self.awaitAnswers(clients) == 0)
    let metrics = try sidecar.awaitMetrics("all connections have ended") {
      $0.sum("sidecar_connections_active") == 0
    }
    #expect(metrics.sum("sidecar_connections_opened_total") == 500)
    try sidecar.stop()
  }

  @Test("As many connections as open files allow are served, whatever pipes their bulk would like", arguments: [1, 2])
  func pipesLeaveRoom(workers: Int) throws {
    let (app, stalled) = (try AppServer.echo(), try AppServer.stalling())
    let listeners = [
      try SidecarProcess.Listener("echo", to: app), try SidecarProcess.Listener("stalled", to: stalled),
    ]
    let sidecar = try SidecarProcess(
      listeners, workers: workers, launcher: ["sh", "-c", "ulimit -n 320; exec \"$@\"", "sh"])
    let limit = try sidecar.metrics().sum("sidecar_connections_limit")
    #expect((60...80).contains(limit))
    // What these send stays where it is, as far as there are pipes in pipes.
    let stuck = try (0..<limit - 5).map { _ in
      let client = try sidecar.connect(to: "stalled")
      client.limitSendBuffer(to: 65_536)
      return client
    }
    for client in stuck { _ = try client.sendUntilFull(patience: 20) }
    let asking = try (0..<5).map { _ in try sidecar.connect(to: "echo") }
    for client in asking { try client.ping() }

    let metrics = try sidecar.metrics()
    #expect(metrics.sum("sidecar_connections_active") == limit)
    #expect((1...10).contains(metrics.sum("sidecar_pipes_in_use")))
    #expect(metrics.sum("sidecar_pipes_refused_total") > 0)
    #expect(metrics.sum("sidecar_accept_paused_total", ["cause": "descriptors"]) == 0)
    for client in stuck { client.close() }
    try sidecar.stop()
  }

  /// Closes each client as soon as it has its answer, until all have.
  /// - Returns: how many were reset instead.
  private static func awaitAnswers(_ clients: [Connection]) throws -> Int {
    var waiting = clients
    var resets = 0
    try eventually(within: .seconds(60), "all clients have their answers, \(waiting.count) have not") {
      try waiting.removeAll { client in
        guard client.isReadable else { return false }
        do {
          let answer = try client.receive(exactly: 4)
          guard answer == Array("ping".utf8) else { throw HarnessError("a wrong answer: \(answer)") }
        } catch let error as SystemCallError where error.code == ECONNRESET {
          resets += 1
        }
        client.close()
        return true
      }
      return waiting.isEmpty
    }
    return resets
  }
}
