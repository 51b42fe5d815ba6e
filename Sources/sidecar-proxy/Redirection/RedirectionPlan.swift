// What `init` is to redirect and what it is to leave alone, as values that were checked. `RedirectionPlan+Input` makes
// it of flags and environment variables, `RedirectionPlan+Rules` makes nftables rules of it.

import ProxyCore

/// The redirection of one pod's TCP. The defaults are those of the command.
struct RedirectionPlan: Equatable {
  /// Which destination ports are redirected.
  enum Ports: Equatable {
    case all
    /// Empty: nothing is redirected in this direction.
    case only(NumberRanges)
  }

  /// Ports of the sidecar that belong to nobody else: control, and metrics with health. Scrapes and probes come to them
  /// in the clear and must not meet a listener that asks for a certificate.
  static let endpointPorts: [UInt16] = [15_000, 15_020]

  /// Where the sidecar takes what comes to the pod.
  var inboundPort: UInt16 = 15_006
  var inboundPorts = Ports.all
  var excludedInboundPorts = NumberRanges()
  /// Sources whose connections go straight to the app.
  var excludedInboundCIDRs: [CIDR] = []

  /// Where the sidecar takes what leaves the pod.
  var outboundPort: UInt16 = 15_001
  var outboundPorts = Ports.all
  var excludedOutboundPorts = NumberRanges()
  /// Destinations to which the app connects directly.
  var excludedOutboundCIDRs: [CIDR] = []
  /// Users other than the sidecar's whose connections are left alone.
  var excludedUIDs = NumberRanges()

  /// The user that the sidecar runs as. What this user sends has been through the sidecar already: redirecting it again
  /// would be a loop.
  var proxyUID: UInt32 = 1_337

  /// All ports of the sidecar, which are never redirected. A connection that comes straight to a listener has no other
  /// destination than this one, by which the sidecar tells that it must not pass it on.
  var sidecarPorts: NumberRanges {
    NumberRanges((Self.endpointPorts + [inboundPort, outboundPort]).map { UInt32($0)...UInt32($0) })
  }
}
