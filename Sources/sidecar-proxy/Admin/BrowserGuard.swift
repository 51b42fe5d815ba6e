// Keeps web pages from driving the control endpoint. It listens on loopback, but so does the browser of whoever works
// in the pod or forwards its port: a page can send a POST to any address (CSRF), and with a name of its own that
// resolves to 127.0.0.1 it can even read the answer (DNS rebinding).

import NIOHTTP1
import ProxyCore

enum BrowserGuard {
  /// - Parameter allowRemote: whether names other than the loopback's are expected in Host, because the operator has
  ///   opened the endpoint.
  /// - Returns: why the request is refused; nil: it is not.
  static func refusal(_ request: HTTPRequest, allowRemote: Bool) -> HTTPResponse? {
    if !allowRemote {
      // A rebound name shows in Host: the browser sends the name that it believes in.
      let hosts = request.headers["Host"]
      guard hosts.count == 1, isLocal(hosts[0]) else {
        return .text(.forbidden, "the Host header must name this endpoint's loopback address")
      }
    }
    guard request.method != .GET, request.method != .HEAD else { return nil }
    // Browsers add Origin to every POST; no other client of this endpoint does.
    guard !request.headers.contains(name: "Origin") else {
      return .text(.forbidden, "requests from web pages are refused")
    }
    return nil
  }

  /// Whether a Host header (RFC 9110 section 7.2) names this machine by itself.
  static func isLocal(_ host: String) -> Bool {
    if let address = SocketAddress(host) { return address.ip.isLoopback }
    if host.hasPrefix("["), host.hasSuffix("]") {
      return IPAddress(host.dropFirst().dropLast())?.isLoopback ?? false
    }
    if let address = IPAddress(host) { return address.family == .ipv4 && address.isLoopback }
    let parts = host.split(separator: ":", omittingEmptySubsequences: false)
    let isPort = parts.count < 2 || UInt16(parts[1]) != nil
    return parts.count <= 2 && isPort && parts[0].lowercased() == "localhost"
  }
}
