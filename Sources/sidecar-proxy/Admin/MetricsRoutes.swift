// What `metrics.bind` serves: Prometheus' scrapes and the kubelet's probes.

import Metrics
import NIOHTTP1
import ProxyCore

extension RouteTable {
  static func metrics(of proxy: Proxy) -> RouteTable {
    RouteTable(routes: [
      Route(method: .GET, path: "/metrics") { scrape(proxy, $0) },
      Route(method: .GET, path: "/healthz/live") { _ in .text(.ok, "live") },
      Route(method: .GET, path: "/healthz/ready") { _ in
        let reasons = proxy.unreadyReasons
        return reasons.isEmpty
          ? .text(.ok, "ready") : .text(.serviceUnavailable, reasons.joined(separator: "\n"))
      },
    ])
  }

  private static func scrape(_ proxy: Proxy, _ request: HTTPRequest) -> HTTPResponse {
    // Several header lines are one list (RFC 9110 section 5.3).
    let format = ExpositionFormat.negotiate(accept: request.headers.list("Accept"))
    var response = HTTPResponse(.ok, contentType: format.contentType, body: proxy.metrics(format: format))
    response.headers.add(name: "Vary", value: "Accept, Accept-Encoding")
    if ContentCoding.acceptsGzip(acceptEncoding: request.headers.list("Accept-Encoding")),
      let compressed = Gzip.compress(response.body)
    {
      response.body = compressed
      response.headers.add(name: "Content-Encoding", value: "gzip")
    }
    return response
  }
}

extension HTTPHeaders {
  fileprivate func list(_ name: String) -> String? {
    let lines = self[name]
    return lines.isEmpty ? nil : lines.joined(separator: ",")
  }
}
