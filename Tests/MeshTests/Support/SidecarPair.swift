// Two sidecars as in two pods: app ↔ outbound ↔ mutual TLS ↔ inbound ↔ app, each a process with an identity of its own.

import TestSupport

final class SidecarPair: Sendable {
  let inbound: SidecarProcess
  let outbound: SidecarProcess
  private let client: IdentityVolume
  private let server: IdentityVolume

  /// - Parameters:
  ///   - listeners: the inbound sidecar's; the outbound one has a listener of the same name for each of them.
  ///   - workers: of each sidecar.
  init(_ listeners: [SidecarProcess.Listener], authority: Authority, workers: Int = 1) throws {
    client = try IdentityVolume(try authority.issue(Authority.clientID), bundle: authority.bundle)
    server = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let strict = listeners.map { listener in
      var listener = listener
      listener.options = ["tls": "strict", "allow": "[{principals: [\"\(Authority.clientID)\"]}]"]
      return listener
    }
    let settings = { (identity: IdentityVolume) in
      // A busy machine must not cut anybody.
      ["identity": identity.setting, "timeouts": "{connect: 1m, handshake: 1m, halfClose: 5m}"]
    }
    inbound = try SidecarProcess(strict, workers: workers, settings: settings(server))
    outbound = try SidecarProcess(
      try listeners.map { listener in
        var outbound = try SidecarProcess.Listener.outbound(to: listener.bind, principals: [Authority.serverID])
        outbound.name = listener.name
        return outbound
      }, workers: workers, settings: settings(client))
  }

  /// Gives both sidecars new certificates and waits until both have taken them up.
  func rotate(_ authority: Authority, bundle: [UInt8]) throws {
    let before = try reloads()
    try client.write(try authority.issue(Authority.clientID), bundle: bundle)
    try server.write(try authority.issue(Authority.serverID), bundle: bundle)
    try eventually("both sidecars have reloaded their identities; \(inbound.process.errorOutput)") {
      zip(try reloads(), before).allSatisfy { $0 > $1 }
    }
  }

  private func reloads() throws -> [Int] {
    try [inbound, outbound].map {
      try $0.metrics().sum("sidecar_certificate_reloads_total", ["result": "success"])
    }
  }

  func stop() throws {
    try outbound.stop()
    try inbound.stop()
  }
}
