// Goal: the HTTP endpoints answer what they promise, and no client can make them do more. Method: the production
// pipeline on SwiftNIO's embedded channel, with bytes in, bytes out and a clock that the test turns.

import NIOCore
import NIOEmbedded
import NIOHTTP1
import ProxyCore
import Testing

@testable import sidecar_proxy

/// A client of an endpoint whose routes are the test's.
private final class Client {
  let loop = EmbeddedEventLoop()
  let channel: EmbeddedChannel

  static let routes = RouteTable(routes: [
    .init(method: .GET, path: "/hello") { _ in .text(.ok, "hello") },
    .init(method: .POST, path: "/act") { request in
      .text(.ok, request.query.map { "\($0.name)=\($0.value)" }.joined(separator: ";"))
    },
  ])

  init(routes: RouteTable = Client.routes) throws {
    channel = EmbeddedChannel(loop: loop)
    try Endpoints.configure(channel.pipeline.syncOperations, routes: routes)
    try channel.connect(to: NIOCore.SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
  }

  var isOpen: Bool { channel.isActive }

  /// An error that the channel reports has been handled by the handlers under test.
  func send(_ text: String) { _ = try? channel.writeInbound(ByteBuffer(string: text)) }

  /// Everything that was answered since the last call.
  func received() -> String {
    loop.run()
    var text = ""
    while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
    return text
  }

  /// The status line's code of the answer to a request; 0: none.
  func status(_ request: String) -> Int {
    send(request)
    return Int(received().dropFirst("HTTP/1.1 ".count).prefix(3)) ?? 0
  }

  deinit { _ = try? channel.finish(acceptAlreadyClosed: true) }
}

@Suite("HTTP endpoints")
struct EndpointTests {
  @Test("A GET is answered and the connection kept")
  func get() throws {
    let client = try Client()
    for _ in 0..<3 {
      client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
      let answer = client.received()
      #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
      #expect(answer.contains("Content-Length: 6\r\n"))
      #expect(answer.hasSuffix("\r\n\r\nhello\n"))
    }
    #expect(client.isOpen)
  }

  @Test("A client that asks on and on without reading isn't answered beyond the high-water mark")
  func asksWithoutReading() throws {
    let client = try Client()
    #expect(client.status("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") == 200)
    client.channel.isWritable = false
    for _ in 0..<3 { #expect(client.status("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") == 0) }
    // It reads again, but was given up on.
    client.channel.isWritable = true
    #expect(client.status("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") == 0)
  }

  @Test(
    "A target may be in absolute form",
    arguments: ["http://x/hello", "HTTP://x:15020/hello", "http://x/hello?a=b"])
  func absolute(target: String) throws {
    #expect(try Client().status("GET \(target) HTTP/1.1\r\nHost: y\r\n\r\n") == 200)
    let unknown = target.replacing("hello", with: "nothing")
    #expect(try Client().status("GET \(unknown) HTTP/1.1\r\nHost: y\r\n\r\n") == 404)
  }

  @Test(
    "The host of an absolute target is the one that counts", arguments: ["http://127.0.0.1/a", "http://127.0.0.1?q"])
  func absoluteHost(target: String) {
    let request = HTTPRequest(method: .GET, uri: target, headers: ["Host": "evil.example"])
    #expect(request.headers["Host"] == ["127.0.0.1"] && request.path == (target.hasSuffix("a") ? "/a" : "/"))
    #expect(BrowserGuard.refusal(request, allowRemote: false) == nil)
    let rebound = HTTPRequest(method: .GET, uri: "http://evil.example/a", headers: ["Host": "127.0.0.1"])
    #expect(BrowserGuard.refusal(rebound, allowRemote: false)?.status == .forbidden)
  }

  @Test("HTTP/1.0 needs no Host")
  func withoutHost() throws {
    #expect(try Client().status("GET /hello HTTP/1.0\r\n\r\n") == 200)
  }

  @Test("HEAD has GET's header and no body")
  func head() throws {
    let client = try Client()
    client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    let answer = client.received()
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.contains("Content-Length: 6\r\n"))
    #expect(answer.hasSuffix("\r\n\r\n"))
  }

  @Test("Pipelined requests are answered in order")
  func pipelined() throws {
    let client = try Client()
    client.send("POST /act?n=1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /act?n=2 HTTP/1.1\r\nHost: x\r\n\r\n")
    let answer = client.received()
    let first = try #require(answer.firstRange(of: "n=1"))
    let second = try #require(answer.firstRange(of: "n=2"))
    #expect(first.upperBound < second.lowerBound)
  }

  @Test("Connection: close closes after the answer")
  func close() throws {
    let client = try Client()
    #expect(client.status("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == 200)
    #expect(!client.isOpen)
  }

  @Test("What follows a request that closes is not answered, whatever it is", arguments: ["GET /hello", "garbage\r\n"])
  func closeIsLast(rest: String) throws {
    let client = try Client()
    client.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + rest + " HTTP/1.1\r\nHost: x\r\n\r\n")
    let answers = client.received()
    #expect(answers.hasSuffix("\r\n\r\nhello\n"))
    #expect(answers.ranges(of: "HTTP/1.1 ").count == 1)
    #expect(!client.isOpen)
  }

  @Test(
    "Wrong requests get their own status",
    arguments: [
      ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
      ("GET /hello/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
      ("GET /%68ello HTTP/1.1\r\nHost: x\r\n\r\n", 404),
      ("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
      ("DELETE /act HTTP/1.1\r\nHost: x\r\n\r\n", 405),
      ("GET /act HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ])
  func refusedAndKept(request: String, status: Int) throws {
    let client = try Client()
    #expect(client.status(request) == status)
    #expect(client.isOpen, "an honest mistake costs no connection")
    #expect(client.status("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") == 200)
  }

  @Test(
    "What is no decent HTTP is answered once and closed",
    arguments: [
      ("\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n", 400),
      ("hello\r\n\r\n", 400),
      ("GET /hello HTTP/1.1\r\n\r\n", 400),
      ("GET /hello HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
      ("GET /hello HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400),
      ("GET /hello HTTP/9.9\r\n\r\n", 400),
      ("GET /hello HTTP/1.1\r\nHost x\r\n\r\n", 400),
      ("POST /act HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
      ("POST /act HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
      ("GET /" + String(repeating: "a", count: EndpointLimits.uriBytesMax) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
      (
        "GET /hello HTTP/1.1\r\nHost: x\r\n" + String(repeating: "a: b\r\n", count: EndpointLimits.headersMax + 1)
          + "\r\n",
        431
      ),
      (
        "GET /hello HTTP/1.1\r\nHost: x\r\na: " + String(repeating: "b", count: EndpointLimits.headerBytesMax)
          + "\r\n\r\n",
        431
      ),
      ("POST /act HTTP/1.1\r\nHost: x\r\nContent-Length: \(EndpointLimits.bodyBytesMax + 1)\r\n\r\n", 413),
      ("POST /act HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n", 413),
    ])
  func refusedAndClosed(request: String, status: Int) throws {
    let client = try Client()
    client.send(request)
    let answer = client.received()
    #expect(Int(answer.dropFirst("HTTP/1.1 ".count).prefix(3)) == status)
    #expect(answer.contains("Connection: close\r\n"))
    #expect(!client.isOpen)
  }

  @Test("A chunked body that grows past the limit is cut off")
  func chunkedFlood() throws {
    let client = try Client()
    client.send("POST /act HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    let chunk = "1000\r\n" + String(repeating: "x", count: 0x1000) + "\r\n"
    for _ in 0..<EndpointLimits.bodyBytesMax / 0x1000 {
      client.send(chunk)
      #expect(client.isOpen)
    }
    client.send(chunk)
    #expect(client.received().hasPrefix("HTTP/1.1 413 "))
    #expect(!client.isOpen)
  }

  @Test("A body within the limit is dropped and the request answered")
  func body() throws {
    let client = try Client()
    let size = EndpointLimits.bodyBytesMax
    client.send("POST /act?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n")
    client.send(String(repeating: "x", count: size))
    #expect(client.received().hasSuffix("a=b\n"))
  }

  @Test("A header without end is given up before it fills the memory")
  func endlessHeader() throws {
    let client = try Client()
    client.send("GET /hello HTTP/1.1\r\n")
    var sent = 0
    while client.isOpen && sent < 1 << 20 {
      client.send("a: " + String(repeating: "b", count: 1_000) + "\r\n")
      _ = client.received()
      sent += 1_000
    }
    #expect(!client.isOpen)
  }

  @Test("Who says nothing is closed after the exchange timeout")
  func silent() throws {
    let client = try Client()
    client.loop.advanceTime(by: EndpointLimits.exchangeTimeout - .milliseconds(1))
    #expect(client.isOpen)
    client.loop.advanceTime(by: .milliseconds(1))
    #expect(!client.isOpen)
  }

  @Test("A header that trickles in is closed after the exchange timeout, however busy it looks")
  func slowHeader() throws {
    let client = try Client()
    for byte in "GET /hell" {
      client.send(String(byte))
      client.loop.advanceTime(by: .seconds(1))
    }
    #expect(client.isOpen)
    client.send("o")
    client.loop.advanceTime(by: .seconds(1))
    #expect(!client.isOpen)
  }

  @Test("A kept connection has the longer time between requests, and the shorter one within")
  func keptConnection() throws {
    let client = try Client()
    #expect(client.status("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") == 200)
    client.loop.advanceTime(by: EndpointLimits.keepAliveTimeout - .seconds(1))
    #expect(client.isOpen)
    client.send("GET")
    client.loop.advanceTime(by: EndpointLimits.exchangeTimeout)
    #expect(!client.isOpen)
  }
}

@Suite("Route table")
struct RouteTableTests {
  @Test("405 says what is allowed, and 404 what there is")
  func help() {
    let post = HTTPRequest(method: .POST, uri: "/hello", headers: [:])
    #expect(Client.routes.respond(to: post).headers["Allow"] == ["GET, HEAD"])
    let get = HTTPRequest(method: .GET, uri: "/act?x", headers: [:])
    #expect(Client.routes.respond(to: get).headers["Allow"] == ["POST"])
    let lost = HTTPRequest(method: .GET, uri: "/", headers: [:])
    #expect(String(decoding: Client.routes.respond(to: lost).body, as: UTF8.self).contains("POST /act"))
  }

  @Test(
    "Queries split at & and the first =",
    arguments: [("/p", []), ("/p?", []), ("/p?a=b&c", ["a=b", "c="]), ("/p?a=b=c", ["a=b=c"]), ("/p?&&", [])])
  func query(uri: String, pairs: [String]) {
    let request = HTTPRequest(method: .GET, uri: uri, headers: [:])
    #expect(request.path == "/p")
    #expect(request.query.map { "\($0.name)=\($0.value)" } == pairs)
  }
}

@Suite("Browser guard")
struct BrowserGuardTests {
  private func isRefused(_ method: HTTPMethod, _ headers: HTTPHeaders, allowRemote: Bool = false) -> Bool {
    BrowserGuard.refusal(HTTPRequest(method: method, uri: "/drain", headers: headers), allowRemote: allowRemote) != nil
  }

  @Test(
    "This machine's own names pass",
    arguments: [
      "127.0.0.1", "127.0.0.1:15000", "localhost", "LocalHost:1", "[::1]", "[::1]:15000", "127.9.9.9:1",
    ])
  func local(host: String) {
    #expect(!isRefused(.POST, ["Host": host]))
    #expect(!isRefused(.GET, ["Host": host]))
  }

  @Test(
    "Names that a page can choose don't",
    arguments: [
      "evil.example", "evil.example:15000", "10.0.0.1:15000", "localhost.evil.example", "127.0.0.1.evil.example", "",
      "localhost:x", "[::2]", "::1", "localhost:1:2",
    ])
  func rebound(host: String) {
    #expect(isRefused(.POST, ["Host": host]))
    #expect(isRefused(.GET, ["Host": host]))
  }

  @Test("No Host, and two of them, are refused")
  func hostCount() {
    #expect(isRefused(.GET, [:]))
    #expect(isRefused(.GET, ["Host": "localhost", "host": "localhost"]))
  }

  @Test("A POST with an Origin is a page's, whatever its origin; a GET is harmless without a rebound name")
  func origin() {
    for origin in ["http://evil.example", "http://127.0.0.1:15000", "null"] {
      #expect(isRefused(.POST, ["Host": "localhost", "Origin": origin]))
      #expect(isRefused(.POST, ["Host": "localhost", "Origin": origin], allowRemote: true))
    }
    #expect(!isRefused(.GET, ["Host": "localhost", "Origin": "http://evil.example"]))
  }

  @Test("With allowRemote, any Host will do")
  func remote() {
    #expect(!isRefused(.POST, ["Host": "sidecar.prod.svc:15000"], allowRemote: true))
  }
}

@Suite("Command line")
struct CommandLineTests {
  @Test("Every scalar of the configuration has a flag that reaches it", arguments: Configuration.scalars.map(\.flag))
  func flag(flag: String) throws {
    let command = try SidecarProxy.parseAsRoot(["run", flag, "some text"])
    let options = try #require(command as? Run).options
    #expect(options.flags.map(\.flag) == [flag])
    #expect(options.flags.map(\.value) == ["some text"])
  }

  @Test("Every scalar is explained in the help", arguments: Configuration.scalars.map(\.flag))
  func help(flag: String) {
    #expect(Run.helpMessage().contains("\(flag) <"))
  }
}
