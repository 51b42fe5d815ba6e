// Requests and responses of the endpoints as plain values, and the table that leads from one to the other. No I/O, no
// event loop: `HTTPConnection` brings the bytes.

import NIOHTTP1
import ProxyCore

/// A request whose body, if it had one, was read and thrown away: no endpoint takes any.
struct HTTPRequest: Sendable {
  var method: HTTPMethod
  /// Without the query.
  var path: String
  var query: [(name: String, value: String)]
  var headers: HTTPHeaders

  /// Nothing here needs percent-encoding, so that none is decoded: an encoded path is an unknown one. A target in
  /// absolute form brings its own host, which is the one that counts (RFC 9112 section 3.2.2).
  init(method: HTTPMethod, uri: String, headers: HTTPHeaders) {
    self.method = method
    self.headers = headers
    var target = Substring(uri)
    if let scheme = ["http://", "https://"].first(where: { uri.lowercased().hasPrefix($0) }) {
      let rest = uri.dropFirst(scheme.count)
      let authority = rest.prefix { $0 != "/" && $0 != "?" }
      self.headers.replaceOrAdd(name: "Host", value: String(authority))
      target = rest.dropFirst(authority.count)
      if !target.hasPrefix("/") { target = "/" + target }
    }
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    path = String(parts.first ?? "")
    query = (parts.count > 1 ? parts[1] : "").split(separator: "&").map { pair in
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(sides[0]), sides.count > 1 ? String(sides[1]) : "")
    }
  }
}

struct HTTPResponse: Sendable {
  var status: HTTPResponseStatus
  var headers: HTTPHeaders
  var body: [UInt8]

  init(_ status: HTTPResponseStatus, contentType: String, body: [UInt8]) {
    self.status = status
    self.body = body
    // Nothing here may be kept by a cache or taken by a browser for something else than it is.
    headers = [
      "Content-Type": contentType, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
    ]
  }

  /// One or more lines for people.
  static func text(_ status: HTTPResponseStatus, _ text: String) -> HTTPResponse {
    HTTPResponse(status, contentType: "text/plain; charset=utf-8", body: Array((text + "\n").utf8))
  }

  static func json(_ build: (inout JSONWriter) -> Void) -> HTTPResponse {
    var writer = JSONWriter()
    build(&writer)
    writer.endLine()
    return HTTPResponse(.ok, contentType: "application/json", body: writer.bytes)
  }
}

/// What an address serves: exact paths, each with one method. HEAD goes where GET goes.
struct RouteTable: Sendable {
  struct Route: Sendable {
    var method: HTTPMethod
    var path: String
    var respond: @Sendable (HTTPRequest) -> HTTPResponse
  }

  var routes: [Route]
  /// Refuses a request before its route sees it; nil: let it through.
  var refuse: @Sendable (HTTPRequest) -> HTTPResponse? = { _ in nil }

  func respond(to request: HTTPRequest) -> HTTPResponse {
    let candidates = routes.filter { $0.path == request.path }
    guard !candidates.isEmpty else {
      let known = routes.map { "\($0.method.rawValue) \($0.path)" }.joined(separator: "\n")
      return .text(.notFound, "not found; there is\n\(known)")
    }
    let method: HTTPMethod = request.method == .HEAD ? .GET : request.method
    guard let route = candidates.first(where: { $0.method == method }) else {
      var response = HTTPResponse.text(.methodNotAllowed, "method not allowed")
      let allowed = candidates.flatMap { $0.method == .GET ? ["GET", "HEAD"] : [$0.method.rawValue] }
      response.headers.add(name: "Allow", value: allowed.joined(separator: ", "))
      return response
    }
    if let refusal = refuse(request) { return refusal }
    return route.respond(request)
  }
}
