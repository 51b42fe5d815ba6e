// Goal: the peer's sidecar dies, clients crawl, the wall clock is set: nobody takes a cut stream for a whole one, nobody
// else waits, no timer moves.
// Method: SIGKILL under load; crowds that say one byte on every port, beside a client who is served; a library that lies
// to the process about the time of day.

import Glibc
import TestSupport
import Testing

@Suite("Faults of the mesh", .serialized)
struct PeerFaultTests {
  // Longer than a busy machine takes for any step.
  private static let patient = "{connect: 1m, handshake: 1m, halfClose: 5m}"

  @Test("SIGKILL of the peer's sidecar under load: a reset for every client, no other byte, and the next one serves")
  func peerKilled() throws {
    let app = try AppServer.echo()
    let authority = try Authority()
    let serverIdentity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let clientIdentity = try IdentityVolume(try authority.issue(Authority.clientID), bundle: authority.bundle)
    let listener = try SidecarProcess.Listener(to: app, options: ["tls": "strict"])
    let settings = { (identity: IdentityVolume) in ["identity": identity.setting, "timeouts": Self.patient] }
    var inbound = try SidecarProcess([listener], settings: settings(serverIdentity))
    let outbound = try SidecarProcess(
      [.outbound(to: listener.bind, principals: [Authority.serverID])], settings: settings(clientIdentity))
    let before = try outbound.idleDescriptorCounts()

    let streams = try (0..<16).map { _ in PatternStream(on: try outbound.connect(to: "outbound")) }
    for stream in streams { try stream.awaitReceived(atLeast: 1 << 20) }
    inbound.process.signal(SIGKILL)
    #expect(try inbound.process.wait() == .signalled(SIGKILL))
    // What comes without a close_notify may be cut short: never a FIN.
    for stream in streams { #expect(try stream.awaitEnd() == .reset) }

    inbound = try SidecarProcess([listener], settings: settings(serverIdentity))
    for _ in 0..<10 {
      let connection = try outbound.connect(to: "outbound")
      try connection.ping()
      try connection.finish()
      #expect(try connection.ending() == .finished)
    }
    try outbound.awaitNothingLeft(since: before)
    try outbound.stop()
    try inbound.stop()
  }

  /// The ports that clients reach.
  enum Port: String, CaseIterable, Sendable {
    case strict, permissive, off, outbound, metrics, admin
  }

  @Test("Two hundred clients that say one byte keep nobody out, and are gone in the end", arguments: Port.allCases)
  func slowLoris(port: Port) throws {
    let app = try AppServer.echo()
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let listeners: [SidecarProcess.Listener] = try [
      .init("strict", to: app, options: ["tls": "strict"]),
      .init("permissive", to: app, options: ["tls": "permissive"]),
      .init("off", to: app, options: ["tls": "off"]),
      .init("outbound", direction: "outbound", target: "\(app.endpoint)"),
    ]
    let sidecar = try SidecarProcess(
      listeners,
      settings: ["identity": identity.setting, "timeouts": "{handshake: 2s, detect: 500ms, idle: 3s, halfClose: 1s}"])
    let before = try sidecar.idleDescriptorCounts()
    let endpoint =
      switch port {
      case .metrics: sidecar.metricsEndpoint
      case .admin: sidecar.adminEndpoint
      default: try sidecar.endpoint(of: port.rawValue)
      }
    // The first byte of a handshake record, or of no HTTP method.
    let crowd = try (0..<200).map { _ in
      let connection = try Connection(to: endpoint)
      _ = try connection.sendUnlessReset([22])
      return connection
    }
    let credentials = try authority.issue()
    for _ in 0..<10 {
      switch port {
      case .strict:
        // Half a hello takes a place, which is free for others again after a second: an honest client comes back.
        try eventually("an honest client gets in") {
          let peer = try ForeignPeer(on: try sidecar.connect(to: "strict"), credentials: credentials)
          guard try peer.handshake() else { return false }
          try peer.send("ping")
          return try peer.receive("ping")
        }
      case .permissive, .off, .outbound: try Connection(to: endpoint).ping()
      case .metrics: #expect(try HTTPClient.request("GET", "/healthz/live", at: endpoint).status == 200)
      case .admin: #expect(try HTTPClient.request("GET", "/version", at: endpoint).status == 200)
      }
    }
    try eventually("the crowd is gone") { crowd.allSatisfy(\.isReadable) }
    for connection in crowd { connection.close() }
    try sidecar.awaitNothingLeft(since: before)
    try sidecar.stop()
  }

  @Test(
    "The wall clock leaps ten years and back: certificates see it, no timer and no connection does",
    .enabled(if: Programs.allow("faketime") && SidecarProcess.isConfined, "needs Debian's faketime"))
  func clockStep() throws {
    let app = try AppServer.echo()
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let clock = identity.certificatePath + ".clock"
    try Files.write("+0", to: clock)
    let sidecar = try SidecarProcess(
      [.init(to: app, options: ["tls": "strict"])],
      settings: [
        "identity": identity.setting, "timeouts": "{handshake: 1m, idle: 1h}", "drain": "{grace: 0s, deadline: 1s}",
      ],
      launcher: [
        "env", "LD_PRELOAD=\(try Self.library())", "FAKETIME_TIMESTAMP_FILE=\(clock)", "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        // The library changes the environment of the first program that it is loaded into, in which Swift then misses its
        // arguments.
        "sh", "-c", "exec \"$@\"", "sh",
      ])
    // What the library shares with child processes, and can't remove from within a confined one.
    defer { for name in ["faketime_shm_", "sem.faketime_sem_"] { unlink("/dev/shm/\(name)\(sidecar.process.pid)") } }
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    let exchange = { (text: String) in
      try peer.send(text)
      return try peer.receive(text)
    }
    #expect(try exchange("before"))
    let readiness = { try HTTPClient.request("GET", "/healthz/ready", at: sidecar.metricsEndpoint) }

    try Files.write("+3650d", to: clock)
    try eventually("the certificate has expired") { try readiness().status == 503 }
    #expect(try readiness().text.contains("expired"))
    // Ten years are more than the hour that it may be idle.
    #expect(try exchange("after ten years"))
    #expect(try sidecar.metrics().sum("sidecar_connections_active") == 1)

    try Files.write("-3650d", to: clock)
    try eventually("the certificate is valid again, as far as the proxy minds") { try readiness().status == 200 }
    #expect(try exchange("ten years before"))
    // A deadline of a second is over after a second, although it is ten years earlier now.
    sidecar.process.signal(SIGTERM)
    #expect(try sidecar.process.wait() == .exited(0))
    #expect(try peer.connection.ending() == .reset)
    #expect(try sidecar.accessLog().map { $0["reason"] } == ["drain_deadline"])
  }

  /// Debian keeps it in its architecture's directory.
  private static func library() throws -> String {
    let libraries = "/usr/lib"
    let found = try Files.list(libraries).lazy.map { "\(libraries)/\($0)/faketime/libfaketimeMT.so.1" }
      .first { Files.exists($0) }
    guard let found else { throw HarnessError("faketime's library is not below \(libraries)") }
    return found
  }
}
