/// The checks that need more than one value: each value may be right, and the whole still can't work or doesn't protect
/// what it seems to. They run after the whole tree was decoded.

extension ConfigurationDecoder {
  /// Runs every check on the draft.
  mutating func check() {
    checkSpans()
    checkBinds()
    checkNames()
    for listener in draft.listeners {
      checkTarget(of: listener)
      if listener.direction == .inbound { checkInbound(listener) }
      if listener.direction == .outbound { checkOutbound(listener) }
    }
    // They are about the whole, and while parts of it are missing they would be wrong.
    if !diagnostics.hasErrors { warn() }
  }

  private mutating func checkSpans() {
    let drain = draft.configuration.drain
    if drain.deadline < drain.grace, let location = draft.locations["drain.deadline"] ?? draft.locations["drain.grace"]
    {
      let (deadline, grace) = (drain.deadline.configurationText, drain.grace.configurationText)
      diagnostics.error(
        at: location,
        "drain.deadline: connections are cut after \(deadline), but accepted until \(grace) (drain.grace); "
          + "expected a deadline of at least \(grace)")
    }
    let admin = draft.configuration.admin
    if !admin.bind.ip.isLoopback, !admin.allowRemote, let location = draft.locations["admin.bind"] {
      diagnostics.error(
        at: location,
        "admin.bind: \(admin.bind) can be reached from other hosts, which could stop this proxy; "
          + "expected a loopback address such as 127.0.0.1:\(admin.bind.port), or admin.allowRemote: true")
    }
  }

  /// Every bind against every other one. A wildcard takes the port on all addresses, so it clashes with any of them.
  private mutating func checkBinds() {
    var binds: [(path: String, address: SocketAddress, location: SourceLocation?)] = []
    for listener in draft.listeners {
      guard let bind = listener.bind else { continue }
      binds.append(("\(listener.path).bind", bind, listener.location(of: "bind")))
    }
    binds.append(("admin.bind", draft.configuration.admin.bind, draft.locations["admin.bind"]))
    binds.append(("metrics.bind", draft.configuration.metrics.bind, draft.locations["metrics.bind"]))
    for (index, second) in binds.enumerated() {
      guard let first = binds[..<index].first(where: { $0.address.overlaps(second.address) }) else { continue }
      // A default stands nowhere: then the one that was written is the one to change.
      guard let location = second.location ?? first.location else { continue }
      let (mine, other) = second.location == nil ? (first, second) : (second, first)
      let place = other.location.map(\.reference) ?? "its default"
      diagnostics.error(
        at: location,
        "\(mine.path): \(mine.address) is taken by \(other.path) (\(other.address), \(place)); expected another port")
    }
  }

  private mutating func checkNames() {
    var firsts: [String: ListenerDraft] = [:]
    for listener in draft.listeners {
      guard let name = listener.name else { continue }
      if let first = firsts[name] {
        diagnostics.error(
          at: listener.location(of: "name"),
          "\(listener.path).name: \(quoted(name)) is the name of \(first.path) "
            + "(\(first.location(of: "name").reference)); expected another name")
      } else {
        firsts[name] = listener
      }
    }
  }

  /// A target that leads back to its listener, at once or by way of others, would multiply each connection until the
  /// descriptors are gone.
  private mutating func checkTarget(of listener: ListenerDraft) {
    guard let bind = listener.bind, let target = listener.target else { return }
    var way: [ListenerDraft] = []
    var next = target.leads(among: draft.listeners)
    while let current = next, way.count < draft.listeners.count {
      guard current.path != listener.path else {
        let through = way.isEmpty ? "(bind: \(bind))" : "by way of \(way.map(\.path).joined(separator: ", "))"
        diagnostics.error(
          at: listener.location(of: "target"),
          "\(listener.path).target: \(target) leads back to this listener \(through); expected the app's own port")
        return
      }
      way.append(current)
      next = current.target?.leads(among: draft.listeners)
    }
  }
}

extension Target {
  /// The listener that a connection to this target would come to.
  fileprivate func leads(among listeners: [ListenerDraft]) -> ListenerDraft? {
    listeners.first { listener in
      guard let bind = listener.bind else { return false }
      return switch self {
      case .address(let address): bind == address || (address.ip.isLoopback && bind.overlaps(address))
      case .name(let name):
        name.host == "localhost" && name.port == bind.port && (bind.ip.isLoopback || bind.ip.isUnspecified)
      case .unix, .originalDestination: false
      }
    }
  }
}

// MARK: - Inbound

extension ConfigurationDecoder {
  private mutating func checkInbound(_ listener: ListenerDraft) {
    if listener.locations["mesh"] != nil {
      diagnostics.error(
        at: listener.location(of: "mesh"),
        "\(listener.path).mesh: mesh rules are for what the app calls, and this listener is inbound; "
          + "expected allow rules, or direction: outbound")
    }
    guard let tls = tls(of: listener) else { return }
    if tls != .off, draft.identityLocation == nil {
      diagnostics.error(
        at: listener.location(of: "tls"),
        "\(listener.path).tls: \(tls.rawValue) needs a certificate, and there is no identity; "
          + "expected identity with certificate, privateKey and trustBundle, or tls: off")
    }
    for rule in listener.allow ?? [] {
      if tls == .off, let location = rule.locations["principals"] {
        diagnostics.error(
          at: location,
          "\(rule.path).principals: a peer proves its principal by TLS, and this listener has tls: off; "
            + "expected tls: strict, or a rule without principals")
      }
      checkPorts(of: rule, target: listener.target)
    }
  }

  /// The ports of a rule are those of the app; with a fixed target there is only one.
  private mutating func checkPorts(of rule: RuleDraft<Configuration.AllowRule>, target: Target?) {
    guard let ports = rule.rule.ports, !ports.isEmpty, let target, target != .originalDestination else { return }
    let problem: String
    if let port = target.port {
      if ports.contains(port) { return }
      problem = "no port of the rule is the target's (\(target)), so it never matches; expected \(port)"
    } else {
      problem = "the target is a Unix socket and has no port, so the rule never matches; expected a rule without ports"
    }
    diagnostics.error(at: rule.locations["ports"] ?? rule.location, "\(rule.path).ports: \(problem)")
  }
}

// MARK: - Outbound

extension ConfigurationDecoder {
  private mutating func checkOutbound(_ listener: ListenerDraft) {
    if listener.locations["allow"] != nil {
      diagnostics.error(
        at: listener.location(of: "allow"),
        "\(listener.path).allow: allow rules are for peers that call the app, and this listener is outbound; "
          + "expected mesh rules, or direction: inbound")
    }
    if let tls = listener.tls, tls != .off {
      diagnostics.error(
        at: listener.location(of: "tls"),
        "\(listener.path).tls: the app connects to an outbound listener in the clear; "
          + "expected mesh rules with tls: strict, which say where TLS begins")
    }
    guard let rules = listener.mesh else { return }
    if case .unix = listener.target, !rules.isEmpty {
      diagnostics.error(
        at: listener.location(of: "mesh"),
        "\(listener.path).mesh: mesh rules match addresses, and the target is a Unix socket; "
          + "expected target: original-destination or host:port")
    }
    for rule in rules {
      if rule.rule.tls == .strict, draft.identityLocation == nil {
        diagnostics.error(
          at: rule.locations["tls"] ?? rule.location,
          "\(rule.path).tls: strict needs a certificate, and there is no identity; "
            + "expected identity with certificate, privateKey and trustBundle, or tls: off")
      }
      if rule.rule.tls == .off, let location = rule.locations["principals"] {
        diagnostics.error(
          at: location,
          "\(rule.path).principals: the other side proves its principal by TLS, and this rule has tls: off; "
            + "expected tls: strict, or a rule without principals")
      }
    }
  }
}
