// The little of HTTP/1.1 that a test needs to talk to the sidecar's endpoints, byte by byte under the test's control.
// What a real client sees is tested with curl.

import Glibc

package struct HTTPResponse: Sendable {
  package var status: Int
  /// Names in lower case.
  package var headers: [String: String]
  package var body: [UInt8]

  package var text: String { String(decoding: body, as: UTF8.self) }
}

/// One connection to an HTTP server, for any number of requests.
package final class HTTPClient {
  package let connection: Connection
  private let host: String
  private var received: [UInt8] = []

  package init(to endpoint: Endpoint) throws {
    connection = try Connection(to: endpoint)
    host = "\(endpoint)"
  }

  package func request(
    _ method: String, _ path: String, headers: [(String, String)] = []
  ) throws -> HTTPResponse {
    var text = "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    if method == "POST" { text += "Content-Length: 0\r\n" }
    try connection.send(text + "\r\n")
    return try readResponse()
  }

  /// One request on a connection of its own.
  package static func request(
    _ method: String = "GET", _ path: String, at endpoint: Endpoint, headers: [(String, String)] = []
  ) throws -> HTTPResponse {
    try HTTPClient(to: endpoint).request(method, path, headers: headers + [("Connection", "close")])
  }

  /// Reads one response; the request went out before.
  package func readResponse() throws -> HTTPResponse {
    let lines = try readHead()
    let parts = lines[0].split(separator: " ", maxSplits: 2)
    guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1]) else {
      throw HarnessError("not an HTTP status line: \(lines[0])")
    }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { throw HarnessError("not an HTTP header: \(line)") }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      headers[line[..<colon].lowercased()] = String(value)
    }
    return HTTPResponse(status: status, headers: headers, body: try readBody(headers))
  }

  private func readHead() throws -> [String] {
    while true {
      let text = String(decoding: received, as: UTF8.self)
      if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
        let head = String(decoding: received[..<end.lowerBound], as: UTF8.self)
        received.removeSubrange(..<end.upperBound)
        // A carriage return and a line feed are one Character.
        return head.split(separator: "\r\n").map(String.init)
      }
      try receiveMore("in the head, after \(text)")
    }
  }

  private func readBody(_ headers: [String: String]) throws -> [UInt8] {
    if headers["transfer-encoding"] == "chunked" { return try readChunks() }
    if let length = headers["content-length"].flatMap({ Int($0) }) { return try take(length) }
    return []
  }

  private func readChunks() throws -> [UInt8] {
    var body: [UInt8] = []
    while true {
      while received.firstRange(of: Array("\r\n".utf8)) == nil { try receiveMore("in a chunk's size") }
      let end = received.firstRange(of: Array("\r\n".utf8))!
      guard let size = Int(String(decoding: received[..<end.lowerBound], as: UTF8.self), radix: 16) else {
        throw HarnessError("not a chunk's size")
      }
      received.removeSubrange(..<end.upperBound)
      body += try take(size)
      _ = try take(2)
      if size == 0 { return body }
    }
  }

  private func take(_ count: Int) throws -> [UInt8] {
    while received.count < count { try receiveMore("in the body, after \(received.count) of \(count) bytes") }
    defer { received.removeFirst(count) }
    return Array(received[..<count])
  }

  private func receiveMore(_ place: @autoclosure () -> String) throws {
    let part = try connection.receive()
    guard !part.isEmpty else { throw HarnessError("the HTTP server closed \(place())") }
    received += part
  }
}
