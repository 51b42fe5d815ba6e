// Goal: what two sidecars do to each other under mutual TLS shows in their metrics and access logs, on the right series
// and with the right names. Method: two real proxies with identities of one authority, an echo server behind them, a
// blocking client in front, and the numbers read as Prometheus would.

import Glibc
import Testing

@testable import ProxyCore
@testable import sidecar_proxy

/// client ─▶ outbound ═ TLS ═▶ inbound ─▶ echo
private final class Pair {
  let inbound: Proxy
  let outbound: Proxy
  private let logs: FakeRoot
  private let controls: [PosixThread]

  static let clientID = "spiffe://test.local/ns/a/sa/client"
  static let serverID = "spiffe://test.local/ns/a/sa/server"

  init(
    tls: Configuration.Listener.TLS = .strict, allowed: String = Pair.clientID, expected: String = Pair.serverID
  ) throws {
    logs = try FakeRoot([:])
    let authority = try DevelopmentAuthority(trustDomain: "test.local", now: Clocks.wallSeconds)
    let app = try EchoApp()
    inbound = try Pair.proxy(
      .init(
        name: "in", direction: .inbound, bind: Pair.freePort, target: .address(app.address), tls: tls,
        allow: [Configuration.AllowRule(principals: [allowed])]),
      authority, Pair.serverID, log: logs.path + "/in")
    outbound = try Pair.proxy(
      .init(
        name: "out", direction: .outbound, bind: Pair.freePort,
        target: .address(inbound.configuration.listeners[0].bind),
        mesh: [Configuration.MeshRule(principals: [expected])]),
      authority, Pair.clientID, log: logs.path + "/out")
    controls = [inbound, outbound].map { proxy in
      PosixThread.start(name: "test-control") { _ = proxy.run() }
    }
  }

  private static let freePort = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)

  private static func proxy(
    _ listener: Configuration.Listener, _ authority: borrowing DevelopmentAuthority, _ id: String, log: String
  ) throws -> Proxy {
    var configuration = Configuration()
    configuration.workers = .count(1)
    configuration.listeners = [listener]
    configuration.limits.connections = 100
    configuration.accessLog = .init(path: log, format: .json)
    var options = Proxy.Options()
    let identity = try authority.issue(SPIFFEID(id), now: Clocks.wallSeconds)
    options.identity = try TLSContext.make(
      identity, trustBundlePEM: authority.certificatePEM, now: Clocks.wallSeconds)
    return try Proxy(configuration, options: options, log: Log(level: .error))
  }

  /// A client's connection to a proxy's listener.
  func connect(to proxy: Proxy) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(proxy.configuration.listeners[0].bind.withSockAddr { Glibc.connect(descriptor, $0, $1) } == 0)
    return descriptor
  }

  /// Sends a message through `proxy` and ends the connection.
  /// - Returns: whether it came back.
  func echoes(through proxy: Proxy, _ text: String = "hello") throws -> Bool {
    let descriptor = try connect(to: proxy)
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard DemoSocket.sendAll(descriptor, bytes[...]) else { return false }
    var answer = [UInt8](repeating: 0, count: bytes.count)
    return recv(descriptor, &answer, answer.count, Int32(MSG_WAITALL)) == bytes.count && answer == bytes
  }

  /// The access log's lines of one side, once there are this many.
  func lines(_ side: String, count: Int) -> [Substring] {
    var lines: [Substring] = []
    _ = eventually {
      lines = (TextFile.read(logs.path + "/" + side) ?? "").split(separator: "\n")
      return lines.count >= count
    }
    return lines
  }

  func stop() {
    inbound.interrupt()
    outbound.interrupt()
    for control in controls { control.join() }
  }
}

@Suite("Mutual TLS between sidecars")
struct MutualTLSTests {
  private func labels(_ listener: String, _ more: String = "", tls: String = "mutual") -> String {
    let direction = listener == "in" ? "inbound" : "outbound"
    return #"{direction="\#(direction)",listener="\#(listener)",\#(more)tls="\#(tls)"}"#
  }

  private func handshakes(_ listener: String, _ result: String, resumed: Bool = false) -> String {
    let direction = listener == "in" ? "inbound" : "outbound"
    return "sidecar_tls_handshakes_total"
      + #"{direction="\#(direction)",listener="\#(listener)",result="\#(result)",resumed="\#(resumed)",tls="mutual"}"#
  }

  @Test("Handshakes, their time and the bytes are counted on both sides; the second connection resumes")
  func counts() throws {
    let pair = try Pair()
    #expect(try pair.echoes(through: pair.outbound))
    #expect(!pair.lines("out", count: 1).isEmpty)
    #expect(try pair.echoes(through: pair.outbound))
    for (side, proxy, peer) in [("in", pair.inbound, Pair.clientID), ("out", pair.outbound, Pair.serverID)] {
      let lines = pair.lines(side, count: 2)
      try #require(lines.count == 2)
      for (line, resumed) in zip(lines, ["false", "true"]) {
        #expect(line.contains(#""tls":"mutual","reason":"downstream_closed","errno":null,"detail":null,"#))
        #expect(line.contains(#""principal":"\#(peer)","tls_version":"TLSv1.3","tls_cipher":"TLS_"#))
        #expect(line.contains(#""tls_resumed":\#(resumed),"handshake_ms":"#) && !line.contains(#""handshake_ms":null"#))
        #expect(line.contains(#""received_bytes":5,"sent_bytes":5}"#))
      }
      #expect(proxy.sample(handshakes(side, "ok")) == "1")
      #expect(proxy.sample(handshakes(side, "ok", resumed: true)) == "1")
      #expect(proxy.sample("sidecar_tls_handshake_duration_seconds_count" + labels(side)) == "2")
      #expect(proxy.sample("sidecar_received_bytes_total" + labels(side)) == "10")
      let direction = side == "in" ? "inbound" : "outbound"
      let relayed =
        #"sidecar_relayed_bytes_total{direction="\#(direction)",listener="\#(side)",path="tls",tls="mutual"}"#
      #expect(proxy.sample(relayed) == "20")
    }
    pair.stop()
  }

  @Test("A peer whose identity isn't allowed is denied, with its name in the log and the reason in the metric")
  func denied() throws {
    let pair = try Pair(allowed: "spiffe://test.local/ns/a/sa/somebody-else")
    #expect(try !pair.echoes(through: pair.outbound))
    let line = try #require(pair.lines("in", count: 1).first)
    #expect(line.contains(#""reason":"denied","errno":null,"detail":"principal","principal":"\#(Pair.clientID)""#))
    let denied =
      #"sidecar_authorization_denied_total{direction="inbound",listener="in",reason="principal",tls="mutual"}"#
    #expect(pair.inbound.sample(denied) == "1")
    #expect(pair.inbound.sample(handshakes("in", "ok")) == "1", "the handshake itself was in order")
    pair.stop()
  }

  @Test("A server with another identity than the rule expects gets no byte")
  func unexpectedServer() throws {
    let pair = try Pair(expected: "spiffe://test.local/ns/a/sa/somebody-else")
    #expect(try !pair.echoes(through: pair.outbound))
    let line = try #require(pair.lines("out", count: 1).first)
    #expect(line.contains(#""reason":"upstream_identity_unexpected""#))
    #expect(line.contains(#""principal":"\#(Pair.serverID)""#))
    pair.stop()
  }

  @Test("Plain text on a strict listener fails its handshake, and nobody is named")
  func plainText() throws {
    let pair = try Pair()
    #expect(try !pair.echoes(through: pair.inbound, "GET / HTTP/1.1\r\n\r\n"))
    let line = try #require(pair.lines("in", count: 1).first)
    #expect(line.contains(#""reason":"tls_handshake_failed","errno":null,"detail":"plain_http","principal":null,"#))
    #expect(line.contains(#""tls_version":null,"tls_cipher":null,"tls_resumed":null,"handshake_ms":null"#))
    #expect(pair.inbound.sample(handshakes("in", "plain_http")) == "1")
    pair.stop()
  }

  @Test("A client that goes away in its handshake is counted as one that broke off")
  func aborted() throws {
    let pair = try Pair()
    close(try pair.connect(to: pair.inbound))
    #expect(eventually { pair.inbound.sample(handshakes("in", "aborted")) == "1" })
    pair.stop()
  }

  @Test("A permissive listener counts what is ours as mutual and the rest in the clear")
  func permissive() throws {
    let pair = try Pair(tls: .permissive)
    #expect(try pair.echoes(through: pair.outbound))
    #expect(try !pair.echoes(through: pair.inbound, "plain"), "the policy asks for a principal")
    #expect(pair.lines("in", count: 2).count == 2)
    #expect(pair.inbound.sample("sidecar_connections_opened_total" + labels("in")) == "1")
    #expect(pair.inbound.sample("sidecar_connections_opened_total" + labels("in", tls: "none")) == "1")
    #expect(pair.inbound.sample(handshakes("in", "ok")) == "1")
    let denied =
      #"sidecar_authorization_denied_total{direction="inbound",listener="in",reason="no_identity",tls="none"}"#
    #expect(pair.inbound.sample(denied) == "1")
    pair.stop()
  }
}
