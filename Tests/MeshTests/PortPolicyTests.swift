// Goal: a principal that may reach one port of the pod is denied at another.
// Method: only redirection gives one listener several ports: a network namespace with nftables REDIRECT rules, and an
// app on two ports behind them.

import Glibc
import TestSupport
import Testing

@Suite("Ports in the policy")
struct PortPolicyTests {
  private static let address = "10.99.1.1"
  private static let group = 1337
  private static let inboundPort: UInt16 = 15_006
  private static let allowedPort: UInt16 = 8_080
  private static let deniedPort: UInt16 = 8_081

  @Test(
    "The rule's port is open, the one beside it is not",
    .enabled(if: Programs.allowsRoot, "needs root to make a network namespace"),
    .enabled(if: Programs.allow("ip", "nft", "setpriv"), "needs Debian's iproute2 and nftables"))
  func ports() throws {
    let namespace = try NetworkNamespace(addresses: ["\(Self.address)/32"])
    // As from another pod: whoever isn't the sidecar is redirected.
    try namespace.load(
      rules: """
        table inet sidecar_test {
          chain output {
            type nat hook output priority -100;
            meta skgid \(Self.group) return
            tcp dport {\(Self.allowedPort), \(Self.deniedPort)} redirect to :\(Self.inboundPort)
          }
        }

        """)
    let apps = try [Self.allowedPort, Self.deniedPort].map { port in
      try namespace.inside { try AppServer.echo(at: .tcp(address: Self.address, port: port)) }
    }
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let allow = "[{principals: [\"\(Authority.clientID)\"], ports: [\(Self.allowedPort)]}]"
    let sidecar = try SidecarProcess(
      [
        try .init(
          bind: .tcp(address: "0.0.0.0", port: Self.inboundPort), target: "original-destination",
          options: ["tls": "strict", "allow": allow])
      ], settings: ["identity": identity.setting],
      launcher: try namespace.launcher + ["setpriv", "--regid=\(Self.group)", "--clear-groups"], awaitsReadiness: false)
    try namespace.inside { try sidecar.awaitReady() }

    let credentials = try authority.issue()
    let open = try ForeignPeer(
      on: try namespace.inside { try Connection(to: .tcp(address: Self.address, port: Self.allowedPort)) },
      credentials: credentials)
    #expect(try open.handshake())
    try open.send("ping")
    #expect(try open.receive("ping"))
    try open.closeNotify()
    open.connection.close()
    // The log has one line per connection, in the order in which they end.
    _ = try sidecar.awaitAccessLog(1)

    let closed = try ForeignPeer(
      on: try namespace.inside { try Connection(to: .tcp(address: Self.address, port: Self.deniedPort)) },
      credentials: credentials)
    try Refusal.enter(closed)
    closed.connection.awaitEnd()
    let lines = try sidecar.awaitAccessLog(2)
    #expect(lines.map { $0["reason"] } == ["downstream_closed", "denied"])
    #expect(lines.map { $0["detail"] } == ["-", "port"])
    #expect(apps.map(\.acceptedCount) == [1, 0])
    let metrics = try namespace.inside { try sidecar.metrics() }
    #expect(metrics.sum("sidecar_authorization_denied_total", ["reason": "port"]) == 1)
    #expect(metrics.sum("sidecar_authorization_denied_total") == 1)
    try sidecar.stop()
  }
}
