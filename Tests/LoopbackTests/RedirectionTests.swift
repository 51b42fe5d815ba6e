// Goal: a connection that netfilter redirected to the sidecar reaches the address it was going to, over IPv4 and IPv6.
// Method: a network namespace with real nftables REDIRECT rules. The sidecar runs under a group of its own that the
// rules pass over, as a pod's rules pass over the sidecar's user.

import Glibc
import TestSupport
import Testing

@Suite("Redirection")
struct RedirectionTests {
  private static let group = 1337
  private static let outboundPort: UInt16 = 15_001
  private static let appPort: UInt16 = 8_080

  @Test(
    "The app's connections, redirected to 15001, reach their original destination",
    .enabled(if: Programs.allowsRoot, "needs root to make a network namespace"),
    .enabled(if: Programs.allow("ip", "nft", "setpriv"), "needs Debian's iproute2 and nftables"))
  func originalDestination() throws {
    let addresses = ["10.99.0.1", "fd99::1"]
    let namespace = try NetworkNamespace(addresses: ["10.99.0.1/32", "fd99::1/128"])
    try namespace.load(
      rules: """
        table inet sidecar_test {
          chain output {
            type nat hook output priority -100;
            meta skgid \(Self.group) return
            tcp dport \(Self.appPort) redirect to :\(Self.outboundPort)
          }
        }

        """)
    let apps = try addresses.map { address in
      let endpoint = Endpoint.tcp(address: address, port: Self.appPort)
      return try namespace.inside {
        try AppServer(at: endpoint) { connection in
          _ = try connection.receive(exactly: 1)
          try connection.send(address)
        }
      }
    }
    let sidecar = try SidecarProcess(
      [
        .init(
          "outbound", direction: "outbound", bind: .tcp(address: "::", port: Self.outboundPort),
          target: "original-destination")
      ],
      launcher: try namespace.launcher + ["setpriv", "--regid=\(Self.group)", "--clear-groups"], awaitsReadiness: false)
    try namespace.inside { try sidecar.awaitReady() }

    for (address, app) in zip(addresses, apps) {
      let client = try namespace.inside { try Connection(to: .tcp(address: address, port: Self.appPort)) }
      try client.send("?")
      let (answer, ending) = try client.drain()
      #expect(String(decoding: answer, as: UTF8.self) == address)
      #expect(ending == .finished)
      client.close()
      #expect(app.acceptedCount == 1)
    }
    let lines = try sidecar.awaitAccessLog(2)
    #expect(Set(lines.compactMap { $0["upstream"] }) == ["10.99.0.1:8080", "[fd99::1]:8080"])

    // Straight to the sidecar: nothing was redirected, and it must not connect to itself.
    let loop = try namespace.inside { try Connection(to: .loopback(Self.outboundPort)) }
    #expect(try loop.ending() == .reset)
    #expect(try sidecar.awaitAccessLog(3).last?["reason"] == "connect_loop")
    try sidecar.stop()
  }
}
