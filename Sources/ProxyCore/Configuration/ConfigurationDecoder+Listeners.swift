/// How the decoder reads `listeners` and the rules in them.

extension ConfigurationDecoder {
  /// Each listener has a socket in every worker; a file with more of them is broken. It also bounds the comparison of
  /// each listener with each other one.
  static let listenersMax = 128

  /// Reads the list of listeners into the draft.
  mutating func readListeners(_ node: YAMLNode) {
    // All the listeners may have been commented out; that nothing is left to listen on is reported later.
    if node.isNull { return }
    guard let items = list(node, path: "listeners", of: "listeners", canBeEmpty: true) else { return }
    guard items.count <= Self.listenersMax else {
      diagnostics.error(
        at: items[Self.listenersMax].location,
        "listeners: there are \(items.count) of them; expected at most \(Self.listenersMax)")
      return
    }
    for (index, item) in items.enumerated() {
      readListener(item, path: "listeners[\(index)]")
    }
  }

  private mutating func readListener(_ node: YAMLNode, path: String) {
    let keys = ["name", "direction", "bind", "target", "tls", "allow", "mesh"]
    guard let section = section(node, path: path, keys: keys) else { return }
    require(["name", "direction", "bind", "target"], in: section)
    var listener = ListenerDraft(path: path, location: node.location)
    listener.locations = section.entries.mapValues(\.value.location)
    listener.name = value("name", in: section, .listenerName)
    listener.direction = value("direction", in: section, .choice())
    listener.bind = value("bind", in: section, .bind)
    listener.target = value("target", in: section, .target)
    listener.tls = value("tls", in: section, .choice())
    if let entry = section.entries["allow"] {
      listener.allow = rules(entry.value, path: section.path(of: "allow")) { decoder, node, path in
        decoder.allowRule(node, path: path)
      }
    }
    if let entry = section.entries["mesh"] {
      listener.mesh = rules(entry.value, path: section.path(of: "mesh")) { decoder, node, path in
        decoder.meshRule(node, path: path)
      }
    }
    draft.listeners.append(listener)
  }

  private mutating func value<Value>(_ key: String, in section: Section, _ syntax: ValueSyntax<Value>) -> Value? {
    guard let entry = section.entries[key] else { return nil }
    return read(entry.value, path: section.path(of: key), syntax.parse)
  }

  private mutating func rules<Rule>(
    _ node: YAMLNode, path: String,
    _ read: (inout ConfigurationDecoder, YAMLNode, String) -> RuleDraft<Rule>?
  ) -> [RuleDraft<Rule>]? {
    guard let items = list(node, path: path, of: "rules", canBeEmpty: true) else { return nil }
    var rules: [RuleDraft<Rule>] = []
    for (index, item) in items.enumerated() {
      if let rule = read(&self, item, "\(path)[\(index)]") { rules.append(rule) }
    }
    return rules
  }

  private mutating func allowRule(_ node: YAMLNode, path: String) -> RuleDraft<Configuration.AllowRule>? {
    guard let section = section(node, path: path, keys: ["principals", "ports", "sources"]) else { return nil }
    if node.isNull || node.content == .mapping([]) {
      diagnostics.error(
        at: node.location,
        "\(path): an empty rule would let everybody in; expected principals, ports or sources, or no allow at all")
      return nil
    }
    var draft = RuleDraft(path: path, location: node.location, rule: Configuration.AllowRule())
    draft.locations = section.entries.mapValues(\.value.location)
    draft.rule.principals = conditions("principals", in: section, of: "SPIFFE IDs", PrincipalPattern.syntax)
    draft.rule.ports = conditions("ports", in: section, of: "ports", .port)
    draft.rule.sources = conditions("sources", in: section, of: "blocks such as 10.0.0.0/8", .cidr)
    return draft
  }

  private mutating func meshRule(_ node: YAMLNode, path: String) -> RuleDraft<Configuration.MeshRule>? {
    let keys = ["destinations", "ports", "tls", "principals"]
    guard let section = section(node, path: path, keys: keys) else { return nil }
    if node.isNull || node.content == .mapping([]) {
      diagnostics.error(at: node.location, "\(path): the rule is empty; expected \(listed(keys))")
      return nil
    }
    var draft = RuleDraft(path: path, location: node.location, rule: Configuration.MeshRule())
    draft.locations = section.entries.mapValues(\.value.location)
    draft.rule.destinations = conditions("destinations", in: section, of: "blocks such as 10.0.0.0/8", .cidr)
    draft.rule.ports = conditions("ports", in: section, of: "ports", .port)
    draft.rule.principals = conditions("principals", in: section, of: "SPIFFE IDs", PrincipalPattern.syntax)
    if section.entries["tls"] != nil {
      // Without knowing this there is nothing to check the rest of the rule against.
      guard let tls: Configuration.MeshRule.TLS = value("tls", in: section, .choice()) else { return nil }
      draft.rule.tls = tls
    }
    return draft
  }

  private mutating func conditions<Value>(
    _ key: String, in section: Section, of expected: String, _ syntax: ValueSyntax<Value>
  ) -> [Value]? {
    guard let entry = section.entries[key] else { return nil }
    return values(entry.value, path: section.path(of: key), of: expected, syntax)
  }
}
