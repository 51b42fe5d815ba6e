// Goal: the private key never leaves the process in anything that it tells, and no secret outlives its use in memory.
// Method: everything that it tells is collected – all endpoints, the log at its most talkative, the access log – and
// searched for each line of the key's file. The memory of the running process is searched for private numbers and traffic
// secrets, while they are in use, where they must be found, and afterwards.

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

  /// Only root sees another's memory. A sanitizer keeps copies of its own: of what was freed, and of frames of the stack.
  private static var canBeSearched: Bool { Programs.allowsRoot && SidecarProcess.isConfined }

  @Test("A private key that was replaced is nowhere in memory", .enabled(if: canBeSearched))
  func replacedKey() throws {
    let authority = try Authority()
    let (first, second) = (try authority.issue(Authority.serverID), try authority.issue(Authority.serverID))
    let identity = try IdentityVolume(first, bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo(), options: ["tls": "strict"])], settings: ["identity": identity.setting])
    // Signs with it, too.
    try exchange(with: sidecar, authority)
    let (old, new) = (try Self.privateNumber(of: first), try Self.privateNumber(of: second))
    #expect(try sidecar.process.copiesInMemory(of: [old, new]) == [1, 0])

    try identity.write(second, bundle: authority.bundle)
    try sidecar.awaitMetrics("the new key") { $0.sum("sidecar_certificate_reloads_total", ["result": "success"]) == 1 }
    try exchange(with: sidecar, authority)
    // Each worker lets go of the old one when it hears of the new one.
    try eventually("the new key alone") { try sidecar.process.copiesInMemory(of: [old, new]) == [0, 1] }
    // Nor as it lay in the file.
    let traces = [Array(old.reversed())] + Self.lines(of: first.privateKey).map { Array($0.prefix(24)) }
    #expect(try sidecar.process.copiesInMemory(of: traces).allSatisfy { $0 == 0 })
    try sidecar.stop()
  }

  @Test("Traffic secrets are nowhere in memory when their connection has ended", .enabled(if: canBeSearched))
  func trafficSecrets() throws {
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo(), options: ["tls": "strict"])], settings: ["identity": identity.setting])
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    try peer.send("ping")
    #expect(try peer.receive("ping"))
    let secrets = try ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"].map(peer.secret)
    #expect(try sidecar.process.copiesInMemory(of: secrets).allSatisfy { $0 > 0 })

    try peer.closeNotify()
    peer.connection.awaitEnd()
    _ = try sidecar.awaitAccessLog(1)
    let all = try secrets + ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"].map(peer.secret)
    // The line is written just before the connection's memory is given back.
    try eventually("no secret is left") { try sidecar.process.copiesInMemory(of: all) == [0, 0, 0, 0] }
    try sidecar.stop()
  }

  private func exchange(with sidecar: SidecarProcess, _ authority: Authority) throws {
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    try peer.send("ping")
    #expect(try peer.receive("ping"))
    try peer.closeNotify()
    peer.connection.awaitEnd()
  }

  /// As libcrypto keeps it: words of the machine, least significant first.
  private static func privateNumber(of credentials: Credentials) throws -> [UInt8] {
    try PEM.decode(credentials.privateKey)[Credentials.privateNumber].reversed()
  }

  private static func lines(of pem: [UInt8]) -> [ArraySlice<UInt8>] {
    pem.split(separator: UInt8(ascii: "\n")).filter { $0.first != UInt8(ascii: "-") }
  }
}
