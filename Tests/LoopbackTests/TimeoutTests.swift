// Goal: each timeout ends what it is for, with its own reason, and nothing else.
// Method: short timeouts, and peers that do nothing for as long as it takes.

import Glibc
import TestSupport
import Testing

@Suite("Timeouts")
struct TimeoutTests {
  @Test("An upstream that doesn't answer: a reset after timeouts.connect")
  func connectTimeout() throws {
    // A full backlog drops every further SYN.
    let socket = try ListeningSocket(backlog: 0)
    let fillers = try Blackhole.fill(socket.endpoint)
    let sidecar = try SidecarProcess(
      [.init(target: "\(socket.endpoint)")], settings: ["timeouts": "{connect: 200ms}"])
    let client = try sidecar.connect()
    #expect(try client.ending() == .reset)
    try sidecar.awaitClosed("connect_timeout")
    let metrics = try sidecar.metrics()
    #expect(metrics.sum("sidecar_connect_failures_total", ["reason": "timeout"]) == 1)
    let line = try #require(try sidecar.awaitAccessLog(1).first)
    #expect(line["reason"] == "connect_timeout")
    #expect(line["upstream"] == "\(socket.endpoint)")
    #expect(line["errno"] == "ETIMEDOUT")
    try sidecar.stop()
    withExtendedLifetime(fillers) {}
  }

  @Test("Silence in both directions: both ends see the end after timeouts.idle, an active neighbour doesn't")
  func idleTimeout() throws {
    let endings = Counter()
    let app = try AppServer { connection in
      while case let bytes = try connection.receive(), !bytes.isEmpty { try connection.send(bytes) }
      endings.add()
    }
    let sidecar = try SidecarProcess([.init(to: app)], settings: ["timeouts": "{idle: 400ms}"])
    let silent = try sidecar.connect()
    try silent.ping()
    let active = try sidecar.connect()
    // As long as the other one is silent, this one isn't.
    while !silent.isReadable { try active.ping() }
    #expect(try silent.ending() == .finished)
    try active.ping()
    try sidecar.awaitClosed("idle_timeout")
    try eventually("the app's end was closed") { endings.value == 1 }
    active.close()
    try sidecar.stop()
  }

  @Test("One direction has ended and the other is silent: a reset after timeouts.halfClose")
  func halfCloseTimeout() throws {
    let resets = Counter()
    let app = try AppServer { connection in
      guard try connection.ending() == .finished else { return }
      connection.awaitHangUp()
      resets.add()
    }
    let sidecar = try SidecarProcess([.init(to: app)], settings: ["timeouts": "{halfClose: 200ms}"])
    let client = try sidecar.connect()
    try client.send("request")
    try client.finish()
    #expect(try client.ending() == .reset)
    try sidecar.awaitClosed("half_close_timeout")
    try eventually("the app's end was reset") { resets.value == 1 }
    try sidecar.stop()
  }
}

/// A listening socket that answers no connection any more.
enum Blackhole {
  /// Fills the backlog of a socket that nobody accepts from.
  /// - Returns: descriptors to keep for as long as it shall be full.
  static func fill(_ endpoint: Endpoint) throws -> [Connection] {
    try (0..<4).map { _ in
      let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
      let descriptor = socket(endpoint.family, kind, 0)
      guard descriptor >= 0 else { throw SystemCallError("socket") }
      _ = try endpoint.withSockAddr { connect(descriptor, $0, $1) }
      return Connection(taking: descriptor)
    }
  }
}
