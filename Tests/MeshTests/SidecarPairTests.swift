// Goal: two sidecars are as good as none: every byte arrives, in order, exactly once, a FIN is a FIN and a reset is a
// reset on the far side too, and none of that changes while certificates are replaced.
// Method: two processes with mutual TLS between them, random exchanges hashed at both ends beside connections that
// half-close, reset and stall, and a thread that replaces both certificates as fast as the sidecars take them up.

import COpenSSL
import TestSupport
import Testing

@Suite("Two sidecars", .serialized)
struct SidecarPairTests {
  private static let connections = 32
  private static let bytesPerConnection = 4 << 20

  @Test("Every byte once, beside disturbers and under rotating certificates", arguments: [1, 2])
  func everyByteOnce(workers: Int) throws {
    let exchange = try RandomExchange(bytes: Self.bytesPerConnection)
    let disturbances = try Disturbances()
    let authority = try Authority()
    let pair = try SidecarPair(
      [try .init("bytes", to: exchange.server)] + disturbances.listeners(), authority: authority, workers: workers)
    let sidecars = [pair.outbound, pair.inbound]
    let before = try sidecars.map { try $0.idleDescriptorCounts() }

    let disturber = disturbances.start(against: pair.outbound)
    let rotation = Rotation(of: pair, by: authority)
    let outcomes = Result {
      try concurrently(Self.connections) { number in
        try RandomExchange.run(
          on: try pair.outbound.connect(to: "bytes"), number: UInt64(number), bytes: Self.bytesPerConnection)
      }
    }
    let rotations = Result { try rotation.stop(atLeast: 3) }
    disturbances.stop()
    let disturbed = Result { try disturber.wait() }
    for (number, outcome) in try outcomes.get().enumerated() {
      #expect(outcome.receivedBytes == Self.bytesPerConnection)
      #expect(try exchange.serverOutcome(UInt64(number)) == outcome.mirrored, "connection \(number)")
    }
    #expect(try rotations.get() >= 3)
    let counts = try disturbed.get()
    #expect(counts.clientEndsFirst > 0 && counts.serverEndsFirst > 0)
    #expect(counts.clientResets > 0 && counts.serverResets > 0)

    for (sidecar, before) in zip(sidecars, before) {
      expectExactCounts(try sidecar.awaitNothingLeft(since: before), counts)
    }
    try pair.stop()
  }

  /// What the metrics of either sidecar say is what the clients did.
  private func expectExactCounts(_ metrics: MetricsText, _ counts: Disturbances.Counts) {
    let total = Self.connections * Self.bytesPerConnection
    let headers = Self.connections * RandomExchange.headerBytes
    let bytes = ["listener": "bytes", "tls": "mutual"]
    #expect(metrics.sum("sidecar_received_bytes_total", bytes) == total + headers)
    #expect(metrics.sum("sidecar_sent_bytes_total", bytes) == total)
    #expect(metrics.sum("sidecar_relayed_bytes_total", bytes) == 2 * total + headers)
    #expect(metrics.sum("sidecar_connections_opened_total", bytes) == Self.connections)
    #expect(metrics.sum("sidecar_connections_opened_total", ["tls": "none"]) == 0)

    let closed = { (listener: String, reason: String) in
      metrics.sum("sidecar_connections_closed_total", ["listener": listener, "reason": reason])
    }
    #expect(closed("bytes", "downstream_closed") + closed("bytes", "upstream_closed") == Self.connections)
    #expect(closed("client-first", "downstream_closed") == counts.clientEndsFirst)
    #expect(closed("server-first", "upstream_closed") == counts.serverEndsFirst)
    #expect(closed("resets", "downstream_reset") == counts.clientResets)
    #expect(closed("resets", "upstream_reset") == counts.serverResets)

    let opened = metrics.sum("sidecar_connections_opened_total")
    #expect(metrics.sum("sidecar_tls_handshakes_total", ["result": "ok"]) == opened)
    #expect(metrics.sum("sidecar_tls_handshakes_total") == opened)
    #expect(metrics.sum("sidecar_tls_handshakes_total", ["resumed": "true"]) > 0)
    #expect(metrics.sum("sidecar_certificate_reloads_total", ["result": "failure"]) == 0)
  }

  @Test("A new CA: both in the bundle, new leaves, then the new one alone; nobody is cut, and the old one is out")
  func newAuthority() throws {
    let app = try AppServer.echo()
    let (old, new) = (try Authority(), try Authority())
    let pair = try SidecarPair([try .init("echo", to: app)], authority: old)
    let load = LoadGenerator(to: try pair.outbound.endpoint(of: "echo"), short: 4, long: 4)
    try load.awaitProgress()
    let ticket = try ticketHolder(old, pair)

    try pair.rotate(old, bundle: old.bundle + new.bundle)
    try load.awaitProgress()
    try pair.rotate(new, bundle: old.bundle + new.bundle)
    try load.awaitProgress()
    try pair.rotate(new, bundle: new.bundle)
    try load.awaitProgress()
    #expect(try load.stop() > 8)

    // Neither the old CA's certificate lets anybody in, nor a ticket from when it did.
    let inbound = try pair.inbound.endpoint(of: "echo")
    let stale = try ForeignPeer(on: try Connection(to: inbound), credentials: try old.issue())
    _ = try stale.handshake()
    stale.connection.awaitEnd()
    let resuming = try ForeignPeer(on: try Connection(to: inbound), credentials: nil)
    SSL_set_session(resuming.ssl, ticket)
    SSL_SESSION_free(ticket)
    _ = try resuming.handshake()
    resuming.connection.awaitEnd()

    let results = try pair.inbound.awaitMetrics("both were refused") { metrics in
      ["certificate_untrusted", "certificate_missing"].allSatisfy {
        metrics.sum("sidecar_tls_handshakes_total", ["result": $0]) == 1
      }
    }
    let succeeded = results.sum("sidecar_tls_handshakes_total", ["result": "ok"])
    #expect(results.sum("sidecar_tls_handshakes_total") == succeeded + 2)
    #expect(results.sum("sidecar_tls_handshakes_total", ["resumed": "true"]) > 0)
    try pair.stop()
  }

  /// Connects with a good certificate.
  /// - Returns: the session that the connection's ticket resumes; the caller frees it.
  private func ticketHolder(_ authority: Authority, _ pair: SidecarPair) throws -> OpaquePointer {
    let connection = try Connection(to: try pair.inbound.endpoint(of: "echo"))
    let peer = try ForeignPeer(on: connection, credentials: try authority.issue())
    guard try peer.handshake() else { throw HarnessError("a good peer was refused") }
    try peer.send("ping")
    // The ticket comes before the answer.
    guard try peer.receive("ping"), let session = SSL_get1_session(peer.ssl), SSL_SESSION_is_resumable(session) == 1
    else { throw HarnessError("no ticket came") }
    try peer.closeNotify()
    return session
  }
}
