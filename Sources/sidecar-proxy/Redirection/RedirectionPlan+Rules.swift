// The nftables script of a plan. Everything in it is a number, a block of addresses or a word of this file.
//
// Only the first packet of a connection meets a nat chain, nft(8): what is established keeps the way that it has, and
// UDP, ICMP and the rest pass by. Nothing is dropped: where the sidecar isn't there to take a connection, the kernel
// refuses it.

import ProxyCore

extension RedirectionPlan {
  /// The table's name; everything that `init` makes is in it.
  static let table = "inet sidecar_proxy"

  /// Takes the rules away, whether they are there or not: `table` makes the one that `delete` wants to find.
  static let removalScript = """
    table \(table)
    delete table \(table)

    """

  /// Replaces the rules in one transaction, for `nft -f`: there is no moment without them, or with half of them.
  var script: String {
    var script = Self.removalScript + "table \(Self.table) {\n"
    if let redirect = redirect(inboundPorts, to: inboundPort) { script += inboundChain(redirect) }
    if let redirect = redirect(outboundPorts, to: outboundPort) { script += outboundChain(redirect) }
    return script + "}\n"
  }

  /// What comes to the pod.
  private func inboundChain(_ redirect: String) -> String {
    chain(
      "inbound", hook: "prerouting",
      [
        "iifname \"lo\" return comment \"the pod talks to itself\"",
        "tcp dport { \(sidecarPorts) } return comment \"the sidecar's own ports\"",
      ]
        + exclusion("tcp dport", excludedInboundPorts)
        + exclusion("saddr", excludedInboundCIDRs)
        + [redirect])
  }

  /// What the pod sends. Loopback is more than 127.0.0.0/8 here: an app that calls itself through the pod's address
  /// reaches itself over `lo` too, and so does the sidecar when it passes on what came in.
  private func outboundChain(_ redirect: String) -> String {
    chain(
      "outbound", hook: "output",
      [
        "meta skuid \(proxyUID) return comment \"has been through the sidecar\"",
        "oifname \"lo\" return comment \"the pod talks to itself\"",
      ]
        + exclusion("meta skuid", excludedUIDs)
        + exclusion("tcp dport", excludedOutboundPorts)
        + exclusion("daddr", excludedOutboundCIDRs)
        + [redirect])
  }

  private func chain(_ name: String, hook: String, _ rules: [String]) -> String {
    // Priority -100 is where destinations are rewritten, before anybody filters on them; nft(8) calls it dstnat.
    let lines = ["type nat hook \(hook) priority -100; policy accept;", "meta l4proto != tcp return"] + rules
    return "  chain \(name) {\n" + lines.map { "    \($0)\n" }.joined() + "  }\n"
  }

  /// The last rule of a chain; nil: this direction isn't redirected at all.
  private func redirect(_ ports: Ports, to listener: UInt16) -> String? {
    switch ports {
    case .all: "meta l4proto tcp redirect to :\(listener)"
    case .only(let ranges) where ranges.isEmpty: nil
    case .only(let ranges): "tcp dport { \(ranges) } redirect to :\(listener)"
    }
  }

  private func exclusion(_ match: String, _ ranges: NumberRanges) -> [String] {
    ranges.isEmpty ? [] : ["\(match) { \(ranges) } return comment \"excluded\""]
  }

  /// A rule for each family that has blocks.
  private func exclusion(_ match: String, _ blocks: [CIDR]) -> [String] {
    [(IPAddress.Family.ipv4, "ip"), (.ipv6, "ip6")].compactMap { family, name in
      let elements = blocks.filter { $0.network.family == family }.map(\.description).joined(separator: ", ")
      return elements.isEmpty ? nil : "\(name) \(match) { \(elements) } return comment \"excluded\""
    }
  }
}
