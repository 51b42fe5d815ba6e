/// What works, but is probably not what was meant. The proxy starts with these; `validate` shows them, and `run` logs
/// them.

extension ConfigurationDecoder {
  /// Adds the warnings for the draft.
  mutating func warn() {
    for listener in draft.listeners {
      if listener.direction == .inbound { warnAboutAllow(of: listener) }
      if listener.direction == .outbound { warnAboutMesh(of: listener) }
    }
    let isTLSUsed = draft.listeners.contains { listener in
      tls(of: listener) != .off || listener.mesh?.contains { $0.rule.tls == .strict } ?? false
    }
    if let location = draft.identityLocation, !isTLSUsed {
      diagnostics.warning(
        at: location, "identity: no listener and no mesh rule uses TLS, so nothing is protected by it")
    }
    let admin = draft.configuration.admin
    if admin.allowRemote, !admin.bind.ip.isLoopback, let location = draft.locations["admin.bind"] {
      diagnostics.warning(
        at: location, "admin.bind: whoever can reach \(admin.bind) can stop this proxy and see its connections")
    }
    let accessLog = draft.configuration.accessLog
    if accessLog.isDevice, accessLog.maxSize != nil, let location = draft.locations["accessLog.maxSize"] {
      diagnostics.warning(
        at: location,
        "accessLog.maxSize: \(accessLog.path) is never rotated by the proxy; whoever reads it limits its size")
    }
  }

  private mutating func warnAboutAllow(of listener: ListenerDraft) {
    guard let rules = listener.allow else { return }
    if rules.isEmpty {
      diagnostics.warning(
        at: listener.location(of: "allow"), "\(listener.path).allow: the list is empty, so every peer is denied")
    }
    if tls(of: listener) == .permissive, !rules.isEmpty, rules.allSatisfy({ $0.locations["principals"] != nil }) {
      diagnostics.warning(
        at: listener.location(of: "allow"),
        "\(listener.path).allow: every rule asks for a principal, so peers in the clear are denied although tls is "
          + "permissive")
    }
  }

  private mutating func warnAboutMesh(of listener: ListenerDraft) {
    // Whoever connects straight to a listener with original-destination is reset: there is nowhere to call out to.
    if let bind = listener.bind, !bind.ip.isLoopback, listener.target != .originalDestination {
      diagnostics.warning(
        at: listener.location(of: "bind"),
        "\(listener.path).bind: other hosts can reach \(bind) and call out through this sidecar, with its identity where "
          + "a mesh rule matches; a loopback address is for the app alone")
    }
    let rules = listener.mesh ?? []
    let isCatchAll = { (rule: RuleDraft<Configuration.MeshRule>) in
      rule.locations["destinations"] == nil && rule.locations["ports"] == nil
    }
    if let index = rules.firstIndex(where: isCatchAll), index + 1 < rules.count {
      diagnostics.warning(
        at: rules[index + 1].location,
        "\(rules[index + 1].path): this rule is never reached, since \(rules[index].path) before it matches everything")
    }
  }
}
