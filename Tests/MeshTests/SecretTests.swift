// Goal: the private key never leaves the process in anything that it tells.
// Method: everything that it tells is collected – all endpoints, the log at its most talkative, the access log – and
// searched for each line of the key's file.

import Glibc
import TestSupport
import Testing

@Suite("Secrets")
struct SecretTests {
  @Test("No endpoint and no log tells the private key")
  func noKeyIsTold() throws {
    let app = try AppServer.echo()
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [.init(to: app, options: ["tls": "strict"])],
      settings: ["identity": identity.setting, "log": "{level: debug, format: text}"])
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    try sidecar.connect().send("not TLS")
    let another = Credentials(
      certificate: try authority.issue(Authority.serverID).certificate,
      privateKey: try authority.issue(Authority.serverID).privateKey)
    try identity.write(another, bundle: authority.bundle)
    sidecar.process.signal(SIGHUP)
    try sidecar.awaitMetrics("keys that don't fit are refused") {
      $0.sum("sidecar_certificate_reloads_total", ["result": "failure"]) >= 1
    }
    var told = ""
    for path in ["/config", "/connections", "/certificates", "/version", "/status"] {
      told += try HTTPClient.request("GET", path, at: sidecar.adminEndpoint).text
    }
    for path in ["/metrics", "/healthz/live", "/healthz/ready"] {
      told += try HTTPClient.request("GET", path, at: sidecar.metricsEndpoint).text
    }
    try peer.closeNotify()
    peer.connection.awaitEnd()
    _ = try sidecar.awaitAccessLog(2)
    try sidecar.stop()
    told += sidecar.process.errorOutput + sidecar.process.output + (try Files.read(sidecar.accessLogPath))

    let key = try Files.read(identity.privateKeyPath).split(separator: "\n").filter { !$0.hasPrefix("-----") }
    #expect(!key.isEmpty)
    #expect(told.contains(identity.privateKeyPath))
    for line in key { #expect(!told.contains(line.prefix(32))) }
  }
}
