// `init`: leads the pod's TCP through the sidecar. Runs once, in an init container with NET_ADMIN, before the sidecar
// and the app; docs/redirection.md tells operators about it.

import ArgumentParser
import Glibc
import ProxyCore

struct Init: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the pod's redirection rules (nftables); needs NET_ADMIN.",
    discussion: """
      Replaces the table inet sidecar_proxy of this network namespace in one transaction: TCP that comes to the pod goes \
      to --inbound-port, TCP that the pod sends goes to --outbound-port, over IPv4 and IPv6. What the sidecar's own user \
      sends, what stays in the pod, and the sidecar's ports 15000 and 15020 are left alone. Lists are written with \
      commas. Each option but --dry-run and --remove can be an environment variable, such as \
      SIDECAR_INIT_INBOUND_PORTS for --inbound-ports.
      """)

  @Option(help: ArgumentHelp("Where the sidecar's inbound listener is (default: 15006).", valueName: "port"))
  var inboundPort: String?
  @Option(help: ArgumentHelp("Where the sidecar's outbound listener is (default: 15001).", valueName: "port"))
  var outboundPort: String?
  @Option(help: ArgumentHelp("The user that the sidecar runs as (default: 1337).", valueName: "uid"))
  var proxyUid: String?
  @Option(help: ArgumentHelp("Ports of the pod to redirect, * or none (default: *).", valueName: "ports"))
  var inboundPorts: String?
  @Option(help: ArgumentHelp("Destination ports to redirect, * or none (default: *).", valueName: "ports"))
  var outboundPorts: String?
  @Option(help: ArgumentHelp("Ports of the pod that clients reach directly.", valueName: "ports"))
  var excludeInboundPorts: String?
  @Option(help: ArgumentHelp("Sources that reach the app directly, such as 10.0.0.1/32.", valueName: "blocks"))
  var excludeInboundCidrs: String?
  @Option(help: ArgumentHelp("Destination ports that the app reaches directly.", valueName: "ports"))
  var excludeOutboundPorts: String?
  @Option(help: ArgumentHelp("Destinations that the app reaches directly.", valueName: "blocks"))
  var excludeOutboundCidrs: String?
  @Option(help: ArgumentHelp("Users whose connections are left alone, such as 1000,2000-2999.", valueName: "uids"))
  var excludeUids: String?

  @Flag(help: "Print the nftables script and change nothing.")
  var dryRun = false

  @Flag(help: "Take the rules away.")
  var remove = false

  func run() throws {
    let plan: RedirectionPlan
    do throws(RedirectionMistakes) {
      plan = try RedirectionPlan(flags: flags, environment: ProcessEnvironment.variables)
    } catch {
      throw CommandFailure(lines: error.lines.map { "init: \($0)" }, code: 2)
    }
    let script = remove ? RedirectionPlan.removalScript : plan.script
    if dryRun {
      print(script, terminator: "")
      return
    }
    do throws(NFTables.Failure) {
      try NFTables.load(script)
    } catch {
      throw CommandFailure.failed(error.line)
    }
    print(remove ? "the redirection rules are gone" : plan.summary)
  }

  private var flags: [RedirectionSetting: String] {
    let values: [(RedirectionSetting, String?)] = [
      (.inboundPort, inboundPort), (.outboundPort, outboundPort), (.proxyUID, proxyUid), (.inboundPorts, inboundPorts),
      (.outboundPorts, outboundPorts), (.excludeInboundPorts, excludeInboundPorts),
      (.excludeInboundCIDRs, excludeInboundCidrs), (.excludeOutboundPorts, excludeOutboundPorts),
      (.excludeOutboundCIDRs, excludeOutboundCidrs), (.excludeUIDs, excludeUids),
    ]
    return Dictionary(uniqueKeysWithValues: values.compactMap { setting, value in value.map { (setting, $0) } })
  }
}

extension RedirectionPlan {
  /// What was done, in one line for the init container's log.
  fileprivate var summary: String {
    "redirected: inbound TCP \(inboundPorts) to \(inboundPort), outbound TCP \(outboundPorts) to \(outboundPort), "
      + "except what uid \(proxyUID) sends; nft list table \(Self.table) shows all of it"
  }
}

extension RedirectionPlan.Ports: CustomStringConvertible {
  var description: String {
    switch self {
    case .all: "*"
    case .only(let ranges): ranges.isEmpty ? "none" : "\(ranges)"
    }
  }
}
