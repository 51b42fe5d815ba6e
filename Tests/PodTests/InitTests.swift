// Goal: `init` leaves out what it is told to leave out, can be run again and undone without harm to what is connected,
// and says in one line what it lacks.
// Method: a pod and a peer in network namespaces, the real binary, real nftables.

import TestSupport
import Testing

@Suite("init", .enabled(if: Requirements.areMet, Comment(rawValue: Requirements.text)))
struct InitTests {
  /// What a connection is expected to meet.
  private enum Way: String, Sendable {
    case direct
    case refused
  }

  /// Connects without a sidecar: a connection that is left alone reaches its server, any other is refused.
  private func way(_ pod: Pod, from namespace: NetworkNamespace, to address: String, port: UInt16 = Pod.appPort) -> Way
  {
    guard let client = try? pod.connect(from: namespace, to: address, port: port) else { return .refused }
    return (try? client.ping()) == nil ? .refused : .direct
  }

  @Test("Inbound: only the listed ports, less the excluded ones and the excluded sources")
  func inbound() throws {
    let pod = try Pod()
    let servers = try [8_080, 8_081, 9_000].map { try pod.serve(Pod.addresses, port: $0, in: pod.pod) }
    let (v4, v6) = (Pod.addresses[0], Pod.addresses[1])

    try pod.redirect("--inbound-ports", "8080-8089", "--exclude-inbound-ports", "8081")
    for address in Pod.addresses {
      #expect(way(pod, from: pod.peer, to: address, port: 8_080) == .refused)
      #expect(way(pod, from: pod.peer, to: address, port: 8_081) == .direct)
      #expect(way(pod, from: pod.peer, to: address, port: 9_000) == .direct)
    }
    // As for a kubelet whose probes come from the node's address.
    try pod.redirect("--exclude-inbound-cidrs", "\(Pod.peerAddresses[0])/32")
    #expect(way(pod, from: pod.peer, to: v4) == .direct)
    #expect(way(pod, from: pod.peer, to: v6) == .refused)
    try pod.redirect("--exclude-inbound-cidrs", "fd98::/64,192.0.2.0/24")
    #expect(way(pod, from: pod.peer, to: v4) == .refused)
    #expect(way(pod, from: pod.peer, to: v6) == .direct)
    try pod.redirect("--inbound-ports", "none")
    for address in Pod.addresses { #expect(way(pod, from: pod.peer, to: address) == .direct) }
    #expect(servers.joined().contains { $0.acceptedCount > 0 })
  }

  @Test("Outbound: only the listed ports, less excluded ports, destinations and users")
  func outbound() throws {
    let pod = try Pod()
    let servers = try [53, 8_080].map { try pod.serve(Pod.peerAddresses, port: $0, in: pod.peer) }
    let (v4, v6) = (Pod.peerAddresses[0], Pod.peerAddresses[1])

    try pod.redirect("--exclude-outbound-ports", "53")
    for address in Pod.peerAddresses {
      #expect(way(pod, from: pod.pod, to: address, port: 53) == .direct)
      #expect(way(pod, from: pod.pod, to: address) == .refused)
    }
    try pod.redirect("--exclude-outbound-cidrs", "\(v4)/32")
    #expect(way(pod, from: pod.pod, to: v4) == .direct)
    #expect(way(pod, from: pod.pod, to: v6) == .refused)
    try pod.redirect("--exclude-outbound-cidrs", "::/0")
    #expect(way(pod, from: pod.pod, to: v4) == .refused)
    #expect(way(pod, from: pod.pod, to: v6) == .direct)
    // The tests run as root.
    try pod.redirect("--exclude-uids", "0")
    #expect(way(pod, from: pod.pod, to: v4) == .direct)
    try pod.redirect("--outbound-ports", "9000")
    #expect(way(pod, from: pod.pod, to: v4) == .direct)
    try pod.redirect("--outbound-ports", "none")
    #expect(way(pod, from: pod.pod, to: v6) == .direct)
    #expect(servers.joined().contains { $0.acceptedCount > 0 })
  }

  @Test("Running it again changes nothing, and no connection notices")
  func again() throws {
    let pod = try Pod()
    try pod.redirect()
    let rules = try pod.rules()
    let sidecar = try pod.startSidecar()
    let apps = try pod.serve(Pod.addresses, in: pod.pod)
    let servers = try pod.serve(Pod.peerAddresses, in: pod.peer)
    let connections =
      try Pod.addresses.map { try pod.connect(from: pod.peer, to: $0) }
      + Pod.peerAddresses.map { try pod.connect(from: pod.pod, to: $0) }
    for connection in connections { try connection.ping() }

    for _ in 0..<3 { try pod.redirect() }
    #expect(try pod.rules() == rules)
    for connection in connections { try connection.ping() }
    // Other rules are for other connections.
    try pod.redirect("--inbound-ports", "1", "--exclude-outbound-cidrs", "0.0.0.0/0,::/0")
    for connection in connections { try connection.ping() }
    #expect((apps + servers).allSatisfy { $0.acceptedCount == 1 })
    try sidecar.stop()
  }

  @Test("--remove leaves nothing behind, and is content when nothing is there")
  func removal() throws {
    let pod = try Pod()
    let apps = try pod.serve(Pod.addresses, in: pod.pod)
    try pod.redirect()
    #expect(try pod.rules().contains("sidecar_proxy"))
    for _ in 0..<2 {
      try pod.redirect("--remove")
      #expect(try pod.rules() == "")
    }
    for address in Pod.addresses { #expect(way(pod, from: pod.peer, to: address) == .direct) }
    #expect(apps.allSatisfy { $0.acceptedCount == 1 })
  }

  @Test("Rules of others stay")
  func neighbours() throws {
    let pod = try Pod()
    let other =
      "table inet other {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
    try pod.pod.load(rules: other)
    try pod.redirect()
    #expect(try pod.rules().contains(other))
    try pod.redirect("--remove")
    #expect(try pod.rules() == other)
  }

  @Test("--dry-run prints the rules that a run would load, and loads none")
  func dryRun() throws {
    let pod = try Pod()
    let process = try pod.initialize(["--dry-run", "--exclude-inbound-ports", "22"])
    #expect(try process.wait() == .exited(0))
    #expect(try pod.rules() == "")
    try pod.pod.load(rules: process.output)
    let loaded = try pod.rules()
    try pod.redirect("--exclude-inbound-ports", "22")
    #expect(try pod.rules() == loaded)
  }

  @Test("Without NET_ADMIN, without nft: one line with the mend, exit 1, and no rules")
  func cannot() throws {
    let pod = try Pod()
    let setpriv = try Programs.path("setpriv")
    for (launcher, words) in [
      (
        [setpriv, "--bounding-set=-net_admin", "--inh-caps=-net_admin"], "give this container the capability NET_ADMIN"
      ),
      ([setpriv, "--reuid=1337", "--clear-groups"], "give this container the capability NET_ADMIN"),
    ] {
      let process = try pod.initialize([], launcher: launcher)
      #expect(try process.wait() == .exited(1))
      #expect(process.errorOutput.contains(words))
      #expect(process.errorOutput.count { $0 == "\n" } == 1, "\(process.errorOutput)")
    }
    // A mount namespace in which nft's directory is empty.
    let hidden = "mount -t tmpfs none \"${1%/*}\" && shift && exec \"$@\""
    let process = try pod.initialize(
      [], launcher: [try Programs.path("unshare"), "--mount", "/bin/sh", "-c", hidden, "sh", try Programs.path("nft")])
    #expect(try process.wait() == .exited(1))
    #expect(process.errorOutput.contains("install the package nftables"))
    #expect(process.errorOutput.count { $0 == "\n" } == 1, "\(process.errorOutput)")
    #expect(try pod.rules() == "")
  }

  @Test("A wrong setting: its own line, exit 2, and no rules")
  func wrongSetting() throws {
    let pod = try Pod()
    let process = try pod.initialize(["--inbound-ports", "80; flush ruleset", "--proxy-uid", "0"])
    #expect(try process.wait() == .exited(2))
    #expect(process.errorOutput.split(separator: "\n").count == 2)
    #expect(try pod.rules() == "")
  }
}
