// Goal: the HTTP endpoints tell the truth in the formats that Prometheus asks for, and nothing that is sent to them
// harms the traffic.
// Method: real clients (promtool, gzip) for the formats; garbage, half requests, oversized requests and a crowd of idle
// connections beside a ping-pong for the rest.

import Glibc
import TestSupport
import Testing

@Suite("Endpoints")
struct EndpointTests {
  private static let openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"

  @Test("promtool is content with /metrics", .enabled(if: Programs.allow("promtool"), "needs Debian's prometheus"))
  func promtool() throws {
    let (sidecar, _) = try Self.sidecarAfterTraffic()
    let response = try HTTPClient.request("GET", "/metrics", at: sidecar.metricsEndpoint)
    #expect(response.headers["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
    let path = sidecar.directory.file("metrics.txt")
    try Files.write(response.body, to: path)
    try ChildProcess.run(
      ["sh", "-c", "\(try Programs.path("promtool")) check metrics < \(path)"], in: sidecar.directory)
    try sidecar.stop()
  }

  @Test("OpenMetrics for those who ask for it, with the same samples")
  func openMetricsNegotiation() throws {
    let (sidecar, _) = try Self.sidecarAfterTraffic()
    let response = try HTTPClient.request(
      "GET", "/metrics", at: sidecar.metricsEndpoint,
      headers: [("Accept", "application/openmetrics-text; version=1.0.0, text/plain;version=0.0.4;q=0.5")])
    #expect(response.headers["content-type"] == Self.openMetrics)
    #expect(response.text.hasSuffix("# EOF\n"))
    let open = try MetricsText(parsing: response.text)
    // In OpenMetrics a counter's family is named without the suffix of its samples.
    #expect(open.types["sidecar_connections_opened"] == "counter")
    let plain = try sidecar.metrics()
    #expect(plain.types["sidecar_connections_opened_total"] == "counter")
    for name in ["sidecar_connections_opened_total", "sidecar_received_bytes_total", "sidecar_engine_info"] {
      #expect(open.sum(name) == plain.sum(name))
    }
    try sidecar.stop()
  }

  @Test("gzip for those who accept it")
  func compression() throws {
    let (sidecar, _) = try Self.sidecarAfterTraffic()
    let response = try HTTPClient.request(
      "GET", "/metrics", at: sidecar.metricsEndpoint, headers: [("Accept-Encoding", "gzip")])
    #expect(response.headers["content-encoding"] == "gzip")
    let path = sidecar.directory.file("metrics.gz")
    try Files.write(response.body, to: path)
    let text = try ChildProcess.run(["gzip", "-dc", path], in: sidecar.directory)
    #expect(try MetricsText(parsing: text).sum("sidecar_connections_opened_total") == 1)
    let plain = try HTTPClient.request("GET", "/metrics", at: sidecar.metricsEndpoint)
    #expect(plain.headers["content-encoding"] == nil)
    try sidecar.stop()
  }

  @Test("The engine that was asked for is the engine that runs")
  func engine() throws {
    let (sidecar, _) = try Self.sidecarAfterTraffic()
    let engine = getenv("SIDECAR_ENGINE").map { String(cString: $0) } ?? "auto"
    let running = try sidecar.metrics().series("sidecar_engine_info").compactMap { $0.labels["engine"] }
    #expect(running.count == 1)
    #expect(engine == "auto" || running == [engine])
    try sidecar.stop()
  }

  @Test("The admin endpoint lists live connections and the configuration in effect")
  func admin() throws {
    let (sidecar, app) = try Self.sidecarAfterTraffic()
    let client = try sidecar.connect()
    try client.ping()
    let connections = try HTTPClient.request("GET", "/connections", at: sidecar.adminEndpoint)
    #expect(connections.status == 200)
    #expect(connections.text.contains("\(app.endpoint)"), "\(connections.text)")
    let configuration = try HTTPClient.request("GET", "/config", at: sidecar.adminEndpoint)
    #expect(configuration.status == 200)
    #expect(configuration.text.contains("\(try sidecar.endpoint())"), "\(configuration.text)")
    #expect(try HTTPClient.request("GET", "/version", at: sidecar.adminEndpoint).status == 200)
    try sidecar.stop()
    app.stop()
  }

  @Test("Control is not to be had at the metrics endpoint")
  func noControlFromOutside() throws {
    let (sidecar, _) = try Self.sidecarAfterTraffic()
    for path in ["/drain", "/shutdown", "/config", "/connections"] {
      let status = try HTTPClient.request("POST", path, at: sidecar.metricsEndpoint).status
      #expect((400..<500).contains(status), "\(path): \(status)")
    }
    #expect(try HTTPClient.request("GET", "/healthz/ready", at: sidecar.metricsEndpoint).status == 200)
    try sidecar.stop()
  }

  @Test("Garbage, half requests, oversized requests and idle crowds do no harm")
  func badRequests() throws {
    let (sidecar, app) = try Self.sidecarAfterTraffic()
    let before = try sidecar.idleDescriptorCounts()
    let traffic = LoadGenerator(to: try sidecar.endpoint(), short: 1, long: 2)
    var lingering: [Connection] = []
    for endpoint in [sidecar.metricsEndpoint, sidecar.adminEndpoint] {
      for request in Self.badRequests {
        let connection = try Connection(to: endpoint)
        // It may close in the middle of what is sent.
        _ = try connection.sendUnlessReset(request)
        lingering.append(connection)
      }
      // More than any scraper and prober opens.
      for _ in 0..<200 { lingering.append(try Connection(to: endpoint)) }
    }
    try traffic.awaitProgress(500)
    for connection in lingering { connection.close() }
    #expect(try traffic.stop() > 3)

    #expect(try HTTPClient.request("GET", "/healthz/live", at: sidecar.metricsEndpoint).status == 200)
    #expect(try sidecar.metrics().sum("sidecar_ready") == 1)
    try sidecar.awaitMetrics("all connections have ended") { $0.sum("sidecar_connections_active") == 0 }
    #expect(try sidecar.idleDescriptorCounts() == before)
    try sidecar.stop()
    app.stop()
  }

  @Test("A request that never ends is cut off")
  func slowHeaders() throws {
    let (sidecar, _) = try Self.sidecarAfterTraffic()
    let connection = try Connection(to: sidecar.metricsEndpoint)
    try connection.send("GET /metrics HTTP/1.1\r\nHost: 127")
    // An answer such as 408, or just the end: but no waiting for ever.
    let (answer, _) = try connection.drain()
    #expect(answer.isEmpty || String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 4"))
    try sidecar.stop()
  }

  private static let badRequests: [[UInt8]] = {
    var generator = SeededGenerator(seed: 1)
    let noise = (0..<8).map { _ in (0..<4_096).map { _ in UInt8.random(in: 0...255, using: &generator) } }
    let texts = [
      "", "\r\n\r\n\r\n", "GET", "GET / HTTP/9.9\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost", "\u{0}\u{0}\u{0}",
      "POST /drain HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST /drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
      "GET /" + String(repeating: "a", count: 1_000_000) + " HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nX: " + String(repeating: "b", count: 1_000_000) + "\r\n\r\n",
      "GET / HTTP/1.1\r\n" + (0..<50_000).map { "X-\($0): y\r\n" }.joined() + "\r\n",
      "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      String(repeating: "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", count: 500),
    ]
    return noise + texts.map { Array($0.utf8) }
  }()

  /// A sidecar through which one connection has gone.
  private static func sidecarAfterTraffic() throws -> (SidecarProcess, AppServer) {
    let app = try AppServer.echo()
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    try client.ping()
    client.close()
    try sidecar.awaitClosed("downstream_closed")
    return (sidecar, app)
  }
}
