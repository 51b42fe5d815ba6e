// What a listener of a simulation is for, in the words of the configuration, and a plain model of what its rules mean:
// the checkers hold the worker against it.

import Glibc
import IOUring
import KernelTestSupport

@testable import ProxyCore

struct SimulatedListenerRules {
  let configuration: Configuration.Listener
  let addresses: [TargetAddress]

  var plan: ListenerPlan { ListenerPlan(configuration, destination: .addresses(addresses)) }

  var usesTLS: Bool { configuration.tls != .off || !configuration.mesh.isEmpty }

  init(_ random: inout SeededGenerator, port: UInt16) {
    addresses = Self.addresses(&random)
    var listener = Configuration.Listener(
      name: "\(port)", direction: random.chance(0.2) ? .outbound : .inbound,
      bind: SocketAddress(ip: IPAddress(v4: 0), port: port), target: .originalDestination)
    switch listener.direction {
    case .outbound:
      listener.mesh = [Configuration.MeshRule(principals: random.chance(0.5) ? [SimulatedMesh.friends] : nil)]
    case .inbound:
      listener.tls = random.pick([.off, .off, .permissive, .strict])
      listener.allow = Self.allow(&random, listener.tls)
    }
    configuration = listener
  }

  private static func addresses(_ random: inout SeededGenerator) -> [TargetAddress] {
    if random.chance(0.02) { return [] }
    return (0..<random.pick([1, 1, 3])).map { index in
      if random.chance(0.1), let path = TargetAddress(unixPath: "/run/app\(index).sock") { return path }
      return TargetAddress(SocketAddress(ip: IPAddress(v4: 0x0a02_0001 + UInt32(index)), port: 8_080))
    }
  }

  private static func allow(
    _ random: inout SeededGenerator, _ tls: Configuration.Listener.TLS
  ) -> [Configuration.AllowRule]? {
    let sources = [random.chance(0.8) ? clients : nobody]
    let rules: [[Configuration.AllowRule]?] = [
      nil, nil, nil, [Configuration.AllowRule(sources: sources)],
      [Configuration.AllowRule(principals: [SimulatedMesh.friends])],
      [Configuration.AllowRule(principals: [SimulatedMesh.friends], sources: sources)],
    ]
    // Without TLS nobody has a principal.
    return tls == .off ? rules[random.below(4)] : random.pick(rules)
  }

  /// Where the clients of a simulation come from, and a network from where none does.
  private static let clients = CIDR("10.1.0.0/16")!
  private static let nobody = CIDR("192.0.2.0/24")!

  // MARK: Peers

  /// Whether the worker speaks TLS to the upstream of this address.
  func isMesh(_ address: String) -> Bool { !configuration.mesh.isEmpty && !address.hasPrefix("unix") }

  func clientCredentials(_ random: inout SeededGenerator, bad: Double) -> SimulatedMesh.Credentials {
    switch configuration.tls {
    case .off: .none
    case .strict: random.chance(bad) ? random.pick(SimulatedMesh.Credentials.allCases) : .friend
    case .permissive: random.chance(bad) ? random.pick([.other, .stranger]) : random.pick([.none, .friend])
    }
  }

  func serverCredentials(
    _ random: inout SeededGenerator, address: String, bad: Double
  ) -> SimulatedMesh.Credentials {
    guard isMesh(address) else { return .none }
    return random.chance(bad) ? random.pick(SimulatedMesh.Credentials.allCases) : .friend
  }

  // MARK: The model

  /// Whether a client may reach the app once it has proved that it has these credentials.
  func admits(client credentials: SimulatedMesh.Credentials) -> Bool {
    if credentials == .stranger || (configuration.tls == .strict && credentials == .none) { return false }
    guard let rules = configuration.allow else { return true }
    return rules.contains { rule in
      (rule.principals == nil || credentials == .friend) && (rule.sources ?? [Self.clients]) == [Self.clients]
    }
  }

  /// Whether bytes may be exchanged with an upstream of these credentials at this address.
  func accepts(server credentials: SimulatedMesh.Credentials, at address: String) -> Bool {
    guard isMesh(address) else { return true }
    return credentials == .friend || (credentials == .other && configuration.mesh.allSatisfy { $0.principals == nil })
  }
}
