// Goal: the endpoints of a running proxy over real sockets: health follows the drain, formats are negotiated, clients
// are bounded. Method: a proxy and its endpoints on loopback ports that the kernel chooses, and the commands' client.

import CZlib
import Glibc
import NIOHTTP1
import Testing

@testable import ProxyCore
@testable import sidecar_proxy

@Suite("Endpoints over loopback")
struct LoopbackEndpointTests {
  private let proxy: Proxy
  private let endpoints: Endpoints
  private let control: PosixThread

  init() throws {
    let loopback = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    var configuration = Configuration()
    configuration.workers = .count(1)
    configuration.limits.connections = 100
    configuration.accessLog.format = .off
    configuration.drain.grace = .zero
    configuration.admin.bind = loopback
    configuration.metrics.bind = loopback
    configuration.listeners = [.init(name: "in", direction: .inbound, bind: loopback, target: .address(loopback))]
    let proxy = try Proxy(configuration, log: Log(level: .error))
    self.proxy = proxy
    endpoints = try Endpoints(of: proxy)
    control = PosixThread.start(name: "test-control") { _ = proxy.run() }
  }

  private func stop() {
    proxy.interrupt()
    control.join()
    endpoints.shutDown()
  }

  @Test("Health follows the drain, and the metrics stay")
  func health() throws {
    #expect(try HTTPClient.request("GET", endpoints.metricsAddress, "/healthz/ready").status == 200)
    #expect(try HTTPClient.request("POST", endpoints.adminAddress, "/drain").status == 202)
    #expect(eventually { proxy.phase == .drained })
    let ready = try HTTPClient.request("GET", endpoints.metricsAddress, "/healthz/ready")
    #expect(ready.status == 503 && ready.body == "drained\n")
    #expect(try HTTPClient.request("GET", endpoints.metricsAddress, "/healthz/live").status == 200)
    let metrics = try HTTPClient.request("GET", endpoints.metricsAddress, "/metrics")
    #expect(metrics.body.contains("\nsidecar_ready 0\n"))
    #expect(try HTTPClient.request("POST", endpoints.adminAddress, "/shutdown").status == 202)
    control.join()
    endpoints.shutDown()
  }

  @Test("The log level is changed and asked for")
  func logging() throws {
    #expect(try HTTPClient.request("POST", endpoints.adminAddress, "/logging?level=debug").status == 200)
    #expect(proxy.log.level == .debug)
    #expect(try HTTPClient.request("POST", endpoints.adminAddress, "/logging?level=loud").status == 400)
    #expect(try HTTPClient.request("GET", endpoints.adminAddress, "/logging?level=info").status == 405)
    #expect(proxy.log.level == .debug)
    stop()
  }

  @Test(
    "Every GET of the control endpoint answers",
    arguments: ["/status", "/config", "/connections", "/certificates", "/version"])
  func looks(path: String) throws {
    let answer = try HTTPClient.request("GET", endpoints.adminAddress, path)
    #expect(answer.status == 200 && !answer.body.isEmpty)
    stop()
  }

  @Test("OpenMetrics and gzip are given to who asks for them")
  func negotiation() throws {
    let routes = RouteTable.metrics(of: proxy)
    func scrape(_ headers: HTTPHeaders) -> HTTPResponse {
      routes.respond(to: HTTPRequest(method: .GET, uri: "/metrics", headers: headers))
    }
    #expect(scrape([:]).headers["Content-Type"] == ["text/plain; version=0.0.4; charset=utf-8"])
    let open = scrape(["Accept": "text/plain;q=0.5", "accept": "application/openmetrics-text;version=1.0.0"])
    #expect(open.headers["Content-Type"] == ["application/openmetrics-text; version=1.0.0; charset=utf-8"])
    #expect(open.body.suffix(6) == Array("# EOF\n".utf8)[...])
    let zipped = scrape(["Accept-Encoding": "deflate, gzip"])
    #expect(zipped.headers["Content-Encoding"] == ["gzip"])
    #expect(zipped.body.prefix(2) == [0x1f, 0x8b])
    stop()
  }

  @Test("gzip's trailer has the plain bytes' checksum and length", arguments: [0, 1, 100_000])
  func gzip(count: Int) throws {
    let plain = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7) }
    let zipped = try #require(Gzip.compress(plain))
    let trailer = zipped.suffix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    #expect(trailer >> 32 == UInt64(count))
    #expect(trailer & 0xffff_ffff == UInt64(crc32(0, plain, UInt32(count))))
    stop()
  }

  @Test("The 65th client is answered, and the first one, which never said anything, goes for it")
  func clientsMax() throws {
    var clients: [Int32] = []
    for _ in 0..<EndpointLimits.connectionsMax { clients.append(try connected()) }
    // The event loop accepts in order: when the last one is answered, all of them are in.
    let request = Array("GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
    #expect(DemoSocket.sendAll(clients[clients.count - 1], request[...]))
    var byte: UInt8 = 0
    #expect(recv(clients[clients.count - 1], &byte, 1, 0) == 1)
    #expect(try HTTPClient.request("GET", endpoints.metricsAddress, "/healthz/live").status == 200)
    #expect(recv(clients[0], &byte, 1, 0) == 0)
    // The others are still there.
    #expect(DemoSocket.sendAll(clients[1], request[...]))
    #expect(recv(clients[1], &byte, 1, 0) == 1)
    for client in clients { close(client) }
    stop()
  }

  private func connected() throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(endpoints.metricsAddress.withSockAddr { connect(descriptor, $0, $1) } == 0)
    return descriptor
  }
}
