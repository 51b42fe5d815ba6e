// Goal: the sidecar speaks the same TLS as everybody else, in both roles, with each side verifying the other.
// Method: Debian's openssl, curl and nginx as the other end, set up to insist on a certificate and to check it.

import Glibc
import TestSupport
import Testing

@Suite("Real peers")
struct RealPeerTests {
  private static let exchangeBytes = 2_000_000

  private let directory: TemporaryDirectory
  private let authority: Authority
  /// The sidecar's, whichever side it is on; the name is for clients that look for one.
  private let identity: IdentityVolume
  /// The other side's.
  private let peer: IdentityVolume

  private static let sidecarID = "spiffe://cluster.local/ns/test/sa/sidecar"
  private static let peerID = "spiffe://cluster.local/ns/test/sa/peer"

  init() throws {
    directory = try TemporaryDirectory()
    authority = try Authority()
    let credentials = try authority.issue(Self.sidecarID, dnsName: "app.test")
    identity = try IdentityVolume(credentials, bundle: authority.bundle)
    peer = try IdentityVolume(try authority.issue(Self.peerID), bundle: authority.bundle)
  }

  private func inbound(to app: Endpoint) throws -> SidecarProcess {
    let allow = "[{principals: [\"\(Self.peerID)\"]}]"
    return try SidecarProcess(
      [try .init(target: "\(app)", options: ["tls": "strict", "allow": allow])],
      settings: ["identity": identity.setting])
  }

  private func outbound(to server: Endpoint, alpn: String? = nil) throws -> SidecarProcess {
    try SidecarProcess(
      [try .outbound(to: server, principals: [Self.peerID])], settings: ["identity": identity.setting(alpn: alpn)])
  }

  /// Each connection was mutual TLS with the peer, and ended in good order.
  ///
  /// - Parameters:
  ///   - earlier: connections before the first one that counts.
  ///   - reasons: what good order is for this peer.
  private func expectMutual(
    _ sidecar: SidecarProcess, connections: Int, after earlier: Int = 0,
    reasons: Set<String> = ["downstream_closed", "upstream_closed"]
  ) throws {
    let lines = try sidecar.awaitAccessLog(earlier + connections).dropFirst(earlier)
    #expect(lines.count == connections)
    #expect(lines.allSatisfy { $0["tls"] == "mutual" && $0["principal"] == Self.peerID })
    #expect(reasons.isSuperset(of: lines.compactMap { $0["reason"] }), "\(lines)")
    let metrics = try sidecar.metrics()
    #expect(metrics.sum("sidecar_tls_handshakes_total", ["result": "ok"]) == earlier + connections)
    #expect(metrics.sum("sidecar_tls_handshakes_total") == earlier + connections)
  }

  /// Waits for the end of the connections that the look whether a server listens has led to.
  /// - Returns: how many there were.
  private func awaitProbes(of sidecar: SidecarProcess) throws -> Int {
    try sidecar.awaitMetrics("the look whether the peer listens is over") { metrics in
      let opened = metrics.sum("sidecar_connections_opened_total")
      return opened > 0 && metrics.sum("sidecar_connections_closed_total") == opened
    }.sum("sidecar_connections_opened_total")
  }

  // MARK: openssl

  @Test(
    "openssl s_client to an inbound listener", .enabled(if: Programs.allow("openssl"), "needs Debian's openssl"))
  func opensslClient() throws {
    let app = try AppServer { connection in
      let line = try connection.receive(exactly: 6)
      try connection.send("got " + String(decoding: line, as: UTF8.self))
    }
    let sidecar = try inbound(to: app.endpoint)
    // Its standard input stays open until the app has answered and ended.
    let command = """
      printf 'hello\\n' | '\(try Programs.path("openssl"))' s_client -connect \(try sidecar.endpoint()) \
      -cert \(peer.certificatePath) -key \(peer.privateKeyPath) -CAfile \(peer.trustBundlePath) \
      -verify_return_error -quiet
      """
    #expect(try ChildProcess.run(["sh", "-c", command], in: directory) == "got hello\n")
    try expectMutual(sidecar, connections: 1)
    try sidecar.stop()
  }

  @Test(
    "openssl s_server behind an outbound listener", .enabled(if: Programs.allow("openssl"), "needs Debian's openssl"))
  func opensslServer() throws {
    let endpoint = try Endpoint.freeLoopback()
    // It sends each line back in reverse.
    let server = try RealServer(
      [
        try Programs.path("openssl"), "s_server", "-accept", "\(endpoint)", "-cert", peer.certificatePath, "-key",
        peer.privateKeyPath, "-CAfile", peer.trustBundlePath, "-Verify", "2", "-verify_return_error", "-rev", "-quiet",
      ], at: endpoint, in: directory)
    let sidecar = try outbound(to: endpoint)
    for _ in 0..<3 {
      let app = try sidecar.connect(to: "outbound")
      try app.send("hello\n")
      #expect(try app.receive(exactly: 6) == Array("olleh\n".utf8))
      app.close()
    }
    try expectMutual(sidecar, connections: 3)
    #expect(try sidecar.metrics().sum("sidecar_tls_handshakes_total", ["resumed": "true"]) > 0)
    try sidecar.stop()
    try server.stop(SIGKILL)
  }

  // MARK: curl and nginx

  @Test(
    "curl with a client certificate, through an inbound listener, to nginx",
    .enabled(if: Programs.allow("curl", "nginx"), "needs Debian's curl and nginx"))
  func curlToInbound() throws {
    let nginx = try RealServer.nginx(in: directory)
    let digest = try writeFile("large", bytes: 20_000_000)
    let sidecar = try inbound(to: nginx.endpoint)
    let port = try sidecar.endpoint().port
    let curl = [
      try Programs.path("curl"), "--silent", "--show-error", "--fail", "--http1.1", "--tlsv1.3", "--cacert",
      peer.trustBundlePath, "--cert", peer.certificatePath, "--key", peer.privateKeyPath, "--resolve",
      "app.test:\(port):127.0.0.1",
    ]
    let url = "https://app.test:\(port)"
    try ChildProcess.run(curl + ["--output", directory.file("down"), "\(url)/large"], in: directory)
    #expect(Digest.of(try Files.readBytes(directory.file("down"))) == digest)
    try ChildProcess.run(curl + ["--upload-file", directory.file("down"), "\(url)/up"], in: directory)
    #expect(Digest.of(try Files.readBytes(directory.file("files/up"))) == digest)
    // curl checks the name and the chain, so this was verified both ways.
    try expectMutual(sidecar, connections: 2)
    try sidecar.stop()
    try nginx.stop()
  }

  @Test(
    "curl, through an outbound listener, to nginx that insists on a client certificate",
    .enabled(if: Programs.allow("curl", "nginx"), "needs Debian's curl and nginx"))
  func outboundToNginx() throws {
    let nginx = try RealServer.nginx(in: directory, tls: nginxServerDirectives)
    let digest = try writeFile("large", bytes: 20_000_000)
    // An HTTPS server refuses clients that offer protocols, but none of HTTP's (RFC 7301 section 3.2).
    let sidecar = try outbound(to: nginx.endpoint, alpn: "http/1.1")
    let curl = [try Programs.path("curl"), "--silent", "--show-error", "--fail"]
    let url = "http://\(try sidecar.endpoint(of: "outbound"))"
    for _ in 0..<3 {
      try ChildProcess.run(curl + ["--output", directory.file("down"), "\(url)/large"], in: directory)
      #expect(Digest.of(try Files.readBytes(directory.file("down"))) == digest)
    }
    try ChildProcess.run(curl + ["--upload-file", directory.file("down"), "\(url)/up"], in: directory)
    #expect(Digest.of(try Files.readBytes(directory.file("files/up"))) == digest)
    try expectMutual(sidecar, connections: 4, reasons: Self.nginxServerReasons)
    try sidecar.stop()
    try nginx.stop()
  }

  @Test(
    "nginx's stream proxy as the client of an inbound listener",
    .enabled(if: Programs.allow("nginx"), "needs Debian's nginx and libnginx-mod-stream"))
  func nginxStreamToInbound() throws {
    let app = try AppServer.echo()
    let sidecar = try inbound(to: app.endpoint)
    let nginx = try RealServer.nginxStream(
      to: try sidecar.endpoint(), acceptsTLS: false,
      directives: """
        proxy_ssl on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_certificate \(peer.certificatePath);
        proxy_ssl_certificate_key \(peer.privateKeyPath);
        proxy_ssl_trusted_certificate \(peer.trustBundlePath);
        proxy_ssl_verify on;
        proxy_ssl_name app.test;
        """, in: directory)
    let probes = try awaitProbes(of: sidecar)
    try exchange(through: nginx.endpoint, connections: 4)
    try expectMutual(sidecar, connections: 4, after: probes)
    try sidecar.stop()
    try nginx.stop()
  }

  @Test(
    "nginx's stream proxy as the server behind an outbound listener",
    .enabled(if: Programs.allow("nginx"), "needs Debian's nginx and libnginx-mod-stream"))
  func outboundToNginxStream() throws {
    let app = try AppServer.echo()
    let nginx = try RealServer.nginxStream(
      to: app.endpoint, acceptsTLS: true, directives: nginxServerDirectives, in: directory)
    let sidecar = try outbound(to: nginx.endpoint)
    try exchange(through: try sidecar.endpoint(of: "outbound"), connections: 4)
    try expectMutual(sidecar, connections: 4, reasons: Self.nginxServerReasons)
    try sidecar.stop()
    try nginx.stop()
  }

  /// nginx answers a close_notify with a FIN and none of its own.
  private static let nginxServerReasons: Set = ["downstream_closed", "tls_truncated"]

  private var nginxServerDirectives: String {
    """
    ssl_protocols TLSv1.3;
    ssl_certificate \(peer.certificatePath);
    ssl_certificate_key \(peer.privateKeyPath);
    ssl_client_certificate \(peer.trustBundlePath);
    ssl_verify_client on;
    """
  }

  // MARK: Envoy

  @Test(
    "Envoy as the client of an inbound listener",
    .enabled(if: Programs.allow("envoy"), "needs envoy; scripts/install-envoy brings it"))
  func envoyToInbound() throws {
    let app = try RandomExchange(bytes: Self.exchangeBytes)
    let sidecar = try inbound(to: app.server.endpoint)
    let envoy = try Envoy.start(
      to: try sidecar.endpoint(), tls: .towardsUpstream, identity: peer, expecting: Self.sidecarID, in: directory)
    let probes = try awaitProbes(of: sidecar)
    try randomExchange(app, through: envoy.endpoint, connections: 4)
    try expectMutual(sidecar, connections: 4, after: probes)
    try sidecar.stop()
    try envoy.stop()
  }

  @Test(
    "Envoy as the server behind an outbound listener",
    .enabled(if: Programs.allow("envoy"), "needs envoy; scripts/install-envoy brings it"))
  func outboundToEnvoy() throws {
    let app = try RandomExchange(bytes: Self.exchangeBytes)
    let envoy = try Envoy.start(
      to: app.server.endpoint, tls: .towardsDownstream, identity: peer, expecting: Self.sidecarID, in: directory)
    let sidecar = try outbound(to: envoy.endpoint)
    try randomExchange(app, through: try sidecar.endpoint(of: "outbound"), connections: 4)
    try expectMutual(sidecar, connections: 4)
    try sidecar.stop()
    try envoy.stop()
  }

  // MARK: Traffic

  private func exchange(through endpoint: Endpoint, connections: Int) throws {
    _ = try concurrently(connections) { number in
      try EchoExchange.run(on: try Connection(to: endpoint), seed: UInt64(number), bytes: Self.exchangeBytes)
    }
  }

  /// Both ways at once, with a half-close at the end of each direction.
  private func randomExchange(_ app: RandomExchange, through endpoint: Endpoint, connections: Int) throws {
    let outcomes = try concurrently(connections) { number in
      try RandomExchange.run(on: try Connection(to: endpoint), number: UInt64(number), bytes: Self.exchangeBytes)
    }
    for (number, outcome) in outcomes.enumerated() {
      #expect(outcome.receivedBytes == Self.exchangeBytes)
      #expect(try app.serverOutcome(UInt64(number)) == outcome.mirrored)
    }
  }

  /// - Returns: the digest of a new file that nginx serves.
  private func writeFile(_ name: String, bytes: Int) throws -> String {
    var content: [UInt8] = []
    var pieces = RandomPieces(seed: 7, total: bytes)
    while pieces.next({ content += $0 }) {}
    try Files.write(content, to: directory.file("files/\(name)"))
    return Digest.of(content)
  }
}
