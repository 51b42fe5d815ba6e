// Goal: the sidecar ends without cutting anybody who still has time, cuts at the deadline, and exits with 0.
// Method: signals and requests to a process under load; what the clients see, the probes, the access log and the exit
// status.

import Glibc
import TestSupport
import Testing

@Suite("Drain")
struct DrainTests {
  private static func readiness(_ sidecar: SidecarProcess) throws -> Int {
    try HTTPClient.request("GET", "/healthz/ready", at: sidecar.metricsEndpoint).status
  }

  /// Whether a new connection is served.
  private static func isServing(_ sidecar: SidecarProcess) throws -> Bool {
    do {
      try sidecar.connect().ping()
      return true
    } catch let error as SystemCallError where error.code == ECONNREFUSED {
      return false
    }
  }

  @Test("SIGTERM under load: unready at once, new ones served during the grace, nobody cut, exit 0", arguments: [1, 2])
  func terminateUnderLoad(workers: Int) throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess(
      [.init(to: app)], workers: workers, settings: ["drain": "{grace: 2s, deadline: 60s}"])
    let load = LoadGenerator(to: try sidecar.endpoint(), short: 8, long: 8)
    try load.awaitProgress()

    sidecar.process.signal(SIGTERM)
    try eventually("readiness fails") { try Self.readiness(sidecar) == 503 }
    // Well within the grace: the probe above takes milliseconds.
    for _ in 0..<20 { #expect(try Self.isServing(sidecar)) }
    #expect(try HTTPClient.request("GET", "/healthz/live", at: sidecar.metricsEndpoint).status == 200)
    try load.awaitProgress()

    try eventually("the grace is over") { try !Self.isServing(sidecar) }
    // Those that are there go on.
    try load.awaitProgress()
    #expect(sidecar.process.isRunning)

    let connections = try load.stop()
    #expect(connections > 16)
    #expect(try sidecar.process.wait() == .exited(0))
    let reasons = Set(try sidecar.accessLog().compactMap { $0["reason"] })
    #expect(reasons == ["downstream_closed"])
  }

  @Test("Who is in the middle of connecting when the listener closes is served", arguments: [1, 2])
  func connectingMeanwhile(workers: Int) throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess(
      [.init(to: app)], workers: workers, settings: ["drain": "{grace: 0s, deadline: 60s}"])
    let endpoint = try sidecar.endpoint()
    let clients = try (0..<16).map { _ in try Connection(to: endpoint, holdsHandshakeBack: true) }
    sidecar.process.signal(SIGTERM)
    try eventually("readiness fails") { try Self.readiness(sidecar) == 503 }
    for client in clients { try client.ping() }
    for client in clients { client.close() }
    #expect(try sidecar.process.wait() == .exited(0))
  }

  /// Served, until the queue closes; then not answered at all, since an answer would have to be taken back.
  @Test("Who comes while the queue is emptied is not let in to be reset")
  func comesTooLate() throws {
    let app = try AppServer.echo()
    // Whoever can't look within the moment that the emptying takes looks again.
    for attempt in 1... {
      let sidecar = try SidecarProcess([.init(to: app)], settings: ["drain": "{grace: 0s, deadline: 60s}"])
      let held = try sidecar.connect()
      try held.ping()
      sidecar.process.signal(SIGTERM)
      var isAnswered: Bool?
      repeat { isAnswered = try Self.isAnswered(sidecar.endpoint()) } while isAnswered == true
      held.close()
      #expect(try sidecar.process.wait() == .exited(0))
      if isAnswered == false { return }
      try #require(attempt < 3, "the queue was open until it was refused")
    }
  }

  /// Whether somebody who connects gets an answer soon; nil if it is a refusal.
  private static func isAnswered(_ endpoint: Endpoint) throws -> Bool? {
    let descriptor = socket(endpoint.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SystemCallError("socket") }
    defer { close(descriptor) }
    // connect(2) obeys it: far less than the second after which TCP tries again.
    var timeout = timeval(tv_sec: 0, tv_usec: 100_000)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, UInt32(MemoryLayout<timeval>.size))
    guard try endpoint.withSockAddr({ connect(descriptor, $0, $1) }) != 0 else { return true }
    switch errno {
    case EINPROGRESS: return false
    case ECONNREFUSED: return nil
    default: throw SystemCallError("connect \(endpoint)")
    }
  }

  @Test("Nobody connected: SIGTERM ends it after the grace")
  func terminateIdle() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)])
    sidecar.process.signal(SIGTERM)
    #expect(try sidecar.process.wait() == .exited(0))
  }

  @Test("What is left at drain.deadline is reset")
  func deadline() throws {
    let resets = Counter()
    let app = try AppServer { connection in
      try connection.send("hello")
      if try connection.ending() == .reset { resets.add() }
    }
    let sidecar = try SidecarProcess([.init(to: app)], settings: ["drain": "{grace: 0s, deadline: 300ms}"])
    let client = try sidecar.connect()
    _ = try client.receive(exactly: 5)
    sidecar.process.signal(SIGTERM)
    #expect(try client.ending() == .reset)
    #expect(try sidecar.process.wait() == .exited(0))
    try eventually("the app's end was reset") { resets.value == 1 }
    #expect(try sidecar.accessLog().map { $0["reason"] } == ["drain_deadline"])
  }

  @Test("A second SIGTERM, or SIGINT, ends it now", arguments: [[SIGTERM, SIGTERM], [SIGTERM, SIGINT], [SIGINT]])
  func endNow(signals: [Int32]) throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)], settings: ["drain": "{grace: 1h, deadline: 2h}"])
    let client = try sidecar.connect()
    try client.ping()
    for signal in signals.dropLast() {
      sidecar.process.signal(signal)
      // Two pending signals of one kind are one signal; see signal(7).
      try eventually("readiness fails") { try Self.readiness(sidecar) == 503 }
      try client.ping()
    }
    sidecar.process.signal(signals.last ?? SIGINT)
    #expect(try client.ending() == .reset)
    #expect(try sidecar.process.wait() == .exited(0))
    #expect(try sidecar.accessLog().map { $0["reason"] } == ["shutdown"])
  }

  @Test("POST /drain drains and stays; POST /shutdown ends it")
  func drainByRequest() throws {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    try client.ping()
    let response = try HTTPClient.request("POST", "/drain", at: sidecar.adminEndpoint)
    #expect((200..<300).contains(response.status), "\(response.text)")
    try eventually("nothing is accepted any more") { try !Self.isServing(sidecar) }
    #expect(try Self.readiness(sidecar) == 503)
    try client.ping()
    client.close()
    try sidecar.awaitMetrics("the last connection has ended") { $0.sum("sidecar_connections_active") == 0 }
    #expect(sidecar.process.isRunning)
    #expect(try Self.readiness(sidecar) == 503)

    _ = try HTTPClient.request("POST", "/shutdown", at: sidecar.adminEndpoint)
    #expect(try sidecar.process.wait() == .exited(0))
  }
}
