// A pod without a container engine: a network namespace with the real binary's rules and the real sidecar in it, and
// another namespace for the world outside, with a cable between them.

import Glibc
import TestSupport

final class Pod: Sendable {
  /// The pod's addresses. It has a second one of each family, which no redirection leads to.
  static let addresses = ["10.98.0.2", "fd98::2"]
  static let secondAddresses = ["10.98.0.3", "fd98::3"]
  /// The addresses of the world outside.
  static let peerAddresses = ["10.98.0.1", "fd98::1"]

  static let appPort: UInt16 = 8_080
  static let inboundPort: UInt16 = 15_006
  static let outboundPort: UInt16 = 15_001
  static let sidecarUID: uid_t = 1_337

  let pod: NetworkNamespace
  let peer: NetworkNamespace
  private let directory: TemporaryDirectory

  init() throws {
    pod = try NetworkNamespace(addresses: [])
    peer = try NetworkNamespace(addresses: [])
    directory = try TemporaryDirectory()
    try pod.connect(
      (Self.addresses + Self.secondAddresses).map(Self.onLink), to: peer, Self.peerAddresses.map(Self.onLink))
  }

  private static func onLink(_ address: String) -> String { address + (address.contains(":") ? "/64" : "/24") }

  // MARK: The sidecar

  /// Starts a transparent sidecar.
  /// - Parameter uid: whom it runs as; by default the user that the rules pass over.
  func startSidecar(uid: uid_t = sidecarUID) throws -> SidecarProcess {
    let sidecar = try SidecarProcess(
      [
        .init("inbound", bind: .tcp(address: "::", port: Self.inboundPort), target: "original-destination"),
        .init(
          "outbound", direction: "outbound", bind: .tcp(address: "::", port: Self.outboundPort),
          target: "original-destination"),
      ],
      launcher: try pod.launcher + [
        "setpriv", "--reuid=\(uid)", "--regid=\(uid)", "--clear-groups",
      ], user: uid, awaitsReadiness: false)
    try pod.inside { try sidecar.awaitReady() }
    return sidecar
  }

  /// Connections that a listener of the sidecar has taken so far.
  func accepted(by listener: String, of sidecar: SidecarProcess) throws -> Int {
    try pod.inside { try sidecar.metrics().sum("sidecar_connections_opened_total", ["listener": listener]) }
  }

  // MARK: The rules

  /// Runs `sidecar-proxy init` in the pod.
  /// - Parameter launcher: a command in front of it.
  func initialize(_ arguments: [String] = [], launcher: [String] = []) throws -> ChildProcess {
    let process = try ChildProcess(
      try pod.launcher + launcher + [try SidecarProcess.binary(), "init"] + arguments,
      environment: SidecarProcess.environment, in: directory)
    _ = try process.wait()
    return process
  }

  /// The same, and expects it to work.
  func redirect(_ arguments: String...) throws {
    let process = try initialize(arguments)
    guard try process.wait() == .exited(0) else { throw HarnessError("init: \(process.errorOutput)") }
  }

  /// All rules in the pod, as nft lists them.
  func rules() throws -> String {
    try ChildProcess.run(try pod.launcher + [try Programs.path("nft"), "list", "ruleset"], in: directory)
  }

  // MARK: Apps and clients

  /// Echo servers in a namespace.
  func serve(_ addresses: [String], port: UInt16 = appPort, in namespace: NetworkNamespace) throws -> [AppServer] {
    try namespace.inside { try addresses.map { try AppServer.echo(at: .tcp(address: $0, port: port)) } }
  }

  func connect(from namespace: NetworkNamespace, to address: String, port: UInt16 = appPort) throws -> Connection {
    try namespace.inside { try Connection(to: .tcp(address: address, port: port)) }
  }
}

/// Whether the tests of this bundle can run here.
enum Requirements {
  static var areMet: Bool { Programs.allowsRoot && Programs.allow("ip", "nft", "setpriv") }
  static let text = "need root, and Debian's iproute2 and nftables"
}
