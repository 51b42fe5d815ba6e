// What must be true of every run about who may speak to whom.

import Metrics

@testable import ProxyCore

extension Simulation {
  /// After each turn: not a byte has been sent to an app whose client has not proved that it may speak to it.
  func checkNothingEarly() -> [String] {
    var found: [String] = []
    for dialogue in dialogues {
      guard let server = dialogue.server, server.stream.sentHereCount > 0, !dialogue.mayReachApp else { continue }
      found.append(
        "\(server.stream.sentHereCount) bytes were sent to \(server.name), whose credentials are "
          + "\(dialogue.client.credentials), proved: \(dialogue.client.wire.isProved)")
    }
    return found
  }

  /// At the end: nobody heard, or was heard by, somebody whom the rules don't name, and nobody whom they name was refused.
  func checkTrust(_ dialogue: Dialogue, _ found: inout [String]) {
    let client = dialogue.client
    let isAdmitted = dialogue.rules.admits(client: client.credentials)
    if let server = dialogue.server, !dialogue.rules.accepts(server: server.credentials, at: dialogue.serverAddress) {
      if client.received > 0 { found.append("\(client.name) heard a server that is \(server.credentials)") }
      if server.isForeign
        ? server.firstByteHeard ?? SimulatedParty.tlsHandshake != SimulatedParty.tlsHandshake
        : server.received > 0
      {
        found.append("\(server.name), which is \(server.credentials), heard the client")
      }
    }
    guard let record = dialogue.record else { return }
    let principals = [client, dialogue.server].compactMap { $0?.credentials.principal }
    if record.tls == nil ? dialogue.loggedPrincipal != nil : !principals.contains(dialogue.loggedPrincipal ?? "") {
      found.append("\(client.name) spoke as \(principals), and is logged as \(dialogue.loggedPrincipal ?? "nobody")")
    }
    let isRefusal =
      switch record.reason {
      case .denied: isAdmitted && !dialogue.isPassedThrough
      case .upstreamIdentityUnexpected:
        dialogue.server.map { dialogue.rules.accepts(server: $0.credentials, at: dialogue.serverAddress) } ?? true
      case .tlsHandshakeFailed, .tlsFailed: !dialogue.isAnybodyBad
      default: false
      }
    if isRefusal {
      found.append("\(client.name) was refused: \(record.reason.label), \(record.tlsFailure.map { "\($0)" } ?? "")")
    }
  }
}

extension Dialogue {
  /// Whether a byte may have been sent to the app by now.
  fileprivate var mayReachApp: Bool {
    if rules.admits(client: client.credentials), client.wire.isProved { return true }
    // What a permissive listener can't tell for TLS in time passes through like plain text, if that may.
    return rules.configuration.tls == .permissive && rules.admits(client: .none)
  }

  /// A permissive listener has taken a slow hello for somebody else's protocol.
  var isPassedThrough: Bool {
    rules.configuration.tls == .permissive && client.credentials != .none
      && record?.encryption == WorkerMetrics.Encryption.none
  }

  /// Whether a party has reset, or has credentials that a handshake fails for.
  fileprivate var isAnybodyBad: Bool {
    [client, server].contains { party in
      guard let party else { return false }
      return party.hasReset || party.credentials == .stranger || party.isForeign
    }
  }
}
