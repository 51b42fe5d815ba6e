// Goal: a permissive listener takes the mesh's TLS for itself and hands everything else to the app unread, whoever speaks
// first and however slowly the first bytes come.
// Method: one listener, and clients and apps of each kind behind and before it.

import COpenSSL
import TestSupport
import Testing

@Suite("Permissive")
struct PermissiveTests {
  /// The mesh's protocol as ALPN writes it: its length and its name.
  private static let meshALPN = [15] + Array("sidecar-proxy/1".utf8)

  private let authority: Authority
  private let identity: IdentityVolume

  init() throws {
    authority = try Authority()
    identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
  }

  private func sidecar(to app: AppServer, settings: [String: String] = [:]) throws -> SidecarProcess {
    try SidecarProcess(
      [try .init(to: app, options: ["tls": "permissive"])],
      settings: settings.merging(["identity": identity.setting]) { $1 })
  }

  private func meshPeer(on connection: Connection) throws -> ForeignPeer {
    try ForeignPeer(on: connection, credentials: try authority.issue()) {
      SSL_CTX_set_alpn_protos($0, Self.meshALPN, UInt32(Self.meshALPN.count))
    }
  }

  /// Expects one connection in the metrics and in the access log, as `mutual` or `none`.
  private func expectOne(_ tls: String, _ sidecar: SidecarProcess) throws {
    let metrics = try sidecar.awaitMetrics("it has ended") { $0.sum("sidecar_connections_closed_total") == 1 }
    #expect(metrics.sum("sidecar_connections_opened_total", ["tls": tls]) == 1)
    #expect(metrics.sum("sidecar_connections_opened_total") == 1)
    let line = try sidecar.awaitAccessLog(1)[0]
    #expect(line["tls"] == tls)
    #expect(line["principal"] == (tls == "mutual" ? Authority.clientID : "-"))
  }

  @Test("The mesh's TLS is terminated; the app sees plain text", arguments: [false, true])
  func meshIsTerminated(oneByteAtATime: Bool) throws {
    let app = try RecordingApp()
    let sidecar = try sidecar(to: app.server, settings: ["timeouts": "{detect: 30s}"])
    let peer = try meshPeer(on: try sidecar.connect())
    if oneByteAtATime {
      for byte in peer.handshakeStep() { try peer.connection.send([byte]) }
    }
    #expect(try peer.handshake())
    try peer.send("ping")
    #expect(try peer.receive("ping"))
    try peer.closeNotify()
    peer.connection.close()
    #expect(try app.awaitSeen(1).map(\.bytes) == [Array("ping".utf8)])
    try expectOne("mutual", sidecar)
    try sidecar.stop()
  }

  @Test("A mesh peer that the bundle doesn't vouch for is refused, not passed through")
  func strangerIsRefused() throws {
    let app = try RecordingApp()
    let sidecar = try sidecar(to: app.server)
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try Authority().issue()) {
      SSL_CTX_set_alpn_protos($0, Self.meshALPN, UInt32(Self.meshALPN.count))
    }
    try Refusal.enter(peer)
    peer.connection.awaitEnd()
    try sidecar.awaitClosed("tls_handshake_failed")
    #expect(try sidecar.awaitAccessLog(1)[0]["detail"] == "certificate_untrusted")
    #expect(try app.awaitSeen(1).map(\.bytes) == [[]])
    try sidecar.stop()
  }

  @Test("The app's own TLS passes through unread", arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
  func ownTLSPasses(version: Int32) throws {
    let ownAuthority = try Authority(trustDomain: "app.example")
    let credentials = try ownAuthority.issue("spiffe://app.example/x")
    let app = try AppServer { connection in
      let peer = try ForeignPeer(.server, on: connection, credentials: credentials)
      guard try peer.handshake() else { return }
      while case let part = try peer.receive(), !part.isEmpty { try peer.send(String(decoding: part, as: UTF8.self)) }
      try peer.closeNotify()
    }
    let sidecar = try sidecar(to: app)
    let client = try ForeignPeer(on: try sidecar.connect(), credentials: nil) {
      SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(version), nil)
    }
    #expect(try client.handshake())
    #expect(SSL_version(client.ssl) == version)
    try client.send("ping")
    #expect(try client.receive("ping"))
    try client.closeNotify()
    client.connection.close()
    try expectOne("none", sidecar)
    #expect(try sidecar.metrics().sum("sidecar_tls_handshakes_total") == 0)
    try sidecar.stop()
  }

  @Test("Plain text passes through")
  func plainTextPasses() throws {
    let sidecar = try sidecar(to: try AppServer.echo())
    let client = try sidecar.connect()
    try client.ping("GET / HTTP/1.1\r\n\r\n")
    try client.finish()
    #expect(try client.ending() == .finished)
    try expectOne("none", sidecar)
    try sidecar.stop()
  }

  @Test("A server that speaks first is heard at once, however long detection may take")
  func serverSpeaksFirst() throws {
    let app = try AppServer { connection in
      try connection.send("220 ready\r\n")
      _ = try connection.receive(exactly: 6)
      try connection.send("221 bye\r\n")
    }
    let sidecar = try sidecar(to: app, settings: ["timeouts": "{detect: 1h}"])
    let client = try sidecar.connect()
    #expect(try client.receive(exactly: 11) == Array("220 ready\r\n".utf8))
    try client.send("QUIT\r\n")
    #expect(try client.drain().bytes == Array("221 bye\r\n".utf8))
    client.close()
    try expectOne("none", sidecar)
    try sidecar.stop()
  }

  @Test("Half a hello of the mesh: after timeouts.detect the app gets it as it is")
  func halfAHello() throws {
    let app = try RecordingApp()
    let sidecar = try sidecar(to: app.server, settings: ["timeouts": "{detect: 300ms}"])
    let client = try sidecar.connect()
    let hello = try meshPeer(on: client).handshakeStep()
    // Up to before the ALPN extension, which libssl doesn't put first.
    let half = Array(hello.prefix(60))
    try client.send(half)
    // The app's echo.
    #expect(try client.receive(exactly: half.count) == half)
    try client.finish()
    #expect(try client.ending() == .finished)
    #expect(try app.awaitSeen(1).map(\.bytes) == [half])
    try expectOne("none", sidecar)
    try sidecar.stop()
  }
}
