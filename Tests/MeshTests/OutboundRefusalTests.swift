// Goal: where a mesh rule asks for mutual TLS, an upstream that can't prove the right identity gets nothing: the app's
// connection is reset, the reason is told, and not a byte of what the app said goes out in the clear.
// Method: a sidecar with one mesh rule before an upstream that misbehaves in one way and records the wire.

import COpenSSL
import TestSupport
import Testing

@Suite("Outbound refusals")
struct OutboundRefusalTests {
  /// One way for an upstream to be turned away.
  struct Row: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// `reason` of the closed connection.
    let reason: String
    /// `result` of the handshake, and `detail` in the access log; nil: no handshake came to an end.
    var handshake: String?
    var settings: [String: String] = [:]
    let act: @Sendable (FakeUpstream.Scene) throws -> Void

    init(
      _ name: String, _ reason: String, _ handshake: String? = nil, settings: [String: String] = [:],
      act: @escaping @Sendable (FakeUpstream.Scene) throws -> Void
    ) {
      (testDescription, self.reason, self.handshake, self.settings, self.act) = (name, reason, handshake, settings, act)
    }
  }

  static let rows =
    [
      Row("a principal that the rule doesn't expect", "upstream_identity_unexpected", "ok") {
        try $0.serve(try $0.authority.issue("spiffe://cluster.local/ns/db/sa/impostor"))
      },
      Row("another trust domain", "upstream_identity_unexpected", "ok") {
        try $0.serve(try $0.authority.issue("spiffe://cluster.example/ns/db/sa/postgres"))
      },
      Row("TLS 1.2 only", "tls_handshake_failed", "peer_refused_handshake") {
        try $0.serve(try $0.authority.issue(Authority.serverID)) {
          SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
        }
      },
      Row("plain text that comes first", "tls_handshake_failed", "not_tls") {
        try $0.connection.send("220 mail.example ESMTP\r\n")
      },
      Row("plain HTTP in answer to the hello", "tls_handshake_failed", "not_tls") {
        try $0.awaitFirstBytes()
        try $0.connection.send("HTTP/1.1 400 Bad Request\r\n\r\n")
      },
      Row("an echo server in the clear", "tls_handshake_failed", "unexpected_message") {
        let hello = try $0.connection.receive()
        try $0.connection.send(hello)
      },
      Row("an alert in answer to the hello", "tls_handshake_failed", "peer_refused_handshake") {
        try $0.awaitFirstBytes()
        try $0.connection.send([21, 3, 3, 0, 2, 2, 40])
      },
      Row("FIN in answer to the hello", "upstream_closed", "aborted") {
        try $0.awaitFirstBytes()
        try $0.connection.finish()
      },
      Row("a reset in answer to the hello", "upstream_reset", "aborted") {
        try $0.awaitFirstBytes()
        $0.connection.reset()
      },
      Row("silence", "handshake_timeout", "timeout", settings: ["timeouts": "{handshake: 1s}"]) {
        try $0.awaitFirstBytes()
      },
    ]
    + (BadCertificate.all + [.clientOnly]).map { bad in
      Row("a certificate \(bad.testDescription)", "tls_handshake_failed", bad.reason) {
        try $0.serve(try bad.issue($0.authority, Authority.serverID))
      }
    }

  /// What the app says at once, and must never be heard on the wire.
  private static let secret = "the app's secret"

  @Test(arguments: rows, [true, false])
  func refused(row: Row, appSpeaks: Bool) throws {
    let authority = try Authority()
    let upstream = try FakeUpstream(authority, act: row.act)
    let identity = try IdentityVolume(try authority.issue(Authority.clientID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [try .outbound(to: upstream.server.endpoint, principals: [Authority.serverID])],
      settings: row.settings.merging(["identity": identity.setting]) { $1 })
    let app = try sidecar.connect(to: "outbound")
    // A reset is reported once: by sending, or else by receiving.
    let isReset = try appSpeaks && !app.sendUnlessReset(Array(Self.secret.utf8))
    let (bytes, ending) = try app.drain()
    #expect(bytes.isEmpty)
    #expect(isReset || ending == .reset)

    try sidecar.awaitClosed(row.reason, listener: "outbound")
    let results = try sidecar.metrics().series("sidecar_tls_handshakes_total").filter { $0.value != 0 }
    #expect(results.map { $0.labels["result"] } == (row.handshake.map { [$0] } ?? []))
    let lines = try sidecar.awaitAccessLog(1)
    #expect(lines.map { $0["reason"] } == [row.reason])
    let detail = row.reason == "tls_handshake_failed" ? row.handshake : "-"
    #expect(lines.map { $0["detail"] } == [detail])
    try sidecar.stop()
    upstream.server.stop()
    #expect(!upstream.heard(Self.secret))
  }

  @Test("A destination without a rule passes in the clear, and the metrics show it")
  func clearWithoutRule() throws {
    let authority = try Authority()
    let upstream = try AppServer.echo()
    let identity = try IdentityVolume(try authority.issue(Authority.clientID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [
        try .init(
          "outbound", direction: "outbound", target: "\(upstream.endpoint)",
          options: ["mesh": "[{destinations: [10.0.0.0/8]}]"])
      ], settings: ["identity": identity.setting])
    let app = try sidecar.connect(to: "outbound")
    try app.ping()
    app.close()
    let metrics = try sidecar.awaitMetrics("it has ended") { $0.sum("sidecar_connections_closed_total") == 1 }
    #expect(metrics.sum("sidecar_connections_opened_total", ["listener": "outbound", "tls": "none"]) == 1)
    #expect(metrics.sum("sidecar_connections_opened_total", ["listener": "outbound", "tls": "mutual"]) == 0)
    try sidecar.stop()
  }
}
