/// Turns a tree of YAML nodes into a configuration and collects everything that is wrong with it on the way.
/// `Configuration.load` drives it: decode, check, finish.

/// A decode in progress.
///
/// Nothing stops it at the first mistake: what can't be read keeps its default and is marked in the draft, and the checks
/// that follow leave alone what was not read, so that no mistake is reported twice.
struct ConfigurationDecoder {
  var diagnostics: DiagnosticCollector
  var draft = ConfigurationDraft()

  /// What to name for a mistake that has no place in the file.
  private let source: SourceLocation

  init(_ diagnostics: DiagnosticCollector, source: SourceLocation) {
    self.diagnostics = diagnostics
    self.source = source
  }

  /// Reads the whole tree into the draft.
  mutating func decode(_ root: YAMLNode) {
    guard let section = section(root, path: "", keys: Configuration.rootKeys) else { return }
    checkPresenceOfListeners(section)
    readScalars(of: section)
    for name in Configuration.sectionNames {
      guard let entry = section.entries[name] else { continue }
      if name == "identity" {
        draft.identityLocation = entry.keyLocation
        // If defaults stood in for a value that was lost (by a template, say), there would be no TLS here.
        if entry.value.isNull {
          refuseNull(
            entry.value, path: name, expected: "certificate, privateKey and trustBundle, or no identity at all")
          continue
        }
      }
      if let section = self.section(entry.value, path: name, keys: Configuration.keys(inSection: name)) {
        readScalars(of: section)
        if name == "identity" { require(["certificate", "privateKey", "trustBundle"], in: section) }
      }
    }
    if let entry = section.entries["listeners"] { readListeners(entry.value) }
  }

  /// The configuration, when there were no errors.
  func finish() -> Configuration? {
    guard !diagnostics.hasErrors else { return nil }
    var configuration = draft.configuration
    if draft.identityLocation != nil {
      configuration.identity = Configuration.Identity(
        certificate: draft.identity.certificate, privateKey: draft.identity.privateKey,
        trustBundle: draft.identity.trustBundle, alpn: draft.identity.alpn)
    }
    configuration.listeners = draft.listeners.compactMap { draft in
      guard let name = draft.name, let direction = draft.direction, let bind = draft.bind, let target = draft.target,
        let tls = tls(of: draft)
      else { return nil }
      return Configuration.Listener(
        name: name, direction: direction, bind: bind, target: target, tls: tls, allow: draft.allow?.map(\.rule),
        mesh: draft.mesh?.map(\.rule) ?? [])
    }
    return configuration
  }

  /// What a listener does about TLS, said or not; nil when what it says could not be read.
  func tls(of listener: ListenerDraft) -> Configuration.Listener.TLS? {
    if listener.locations["tls"] != nil { return listener.tls }
    guard let direction = listener.direction else { return nil }
    return direction == .inbound && draft.identityLocation != nil ? .strict : .off
  }

  private mutating func readScalars(of section: Section) {
    for scalar in Configuration.scalars where scalar.section.name == section.path {
      guard let entry = section.entries[scalar.section.key] else { continue }
      draft.locations[scalar.keyPath] = entry.value.location
      // A copy, since the closure may not reach into `self` while `read` is changing it.
      var changed = draft
      _ = read(entry.value, path: scalar.keyPath) { text throws(ValueProblem) in try scalar.read(text, &changed) }
      draft = changed
    }
  }

  /// A proxy without a listener does nothing, and says so rather than idle.
  private mutating func checkPresenceOfListeners(_ root: Section) {
    let entry = root.entries["listeners"]
    guard !root.keysMeant.contains("listeners"),
      entry == nil || entry?.value.isNull == true || entry?.value.content == .sequence([])
    else {
      return
    }
    diagnostics.error(
      at: entry?.keyLocation ?? source,
      "nothing to listen on; expected listeners in the file, or --forward 127.0.0.1:9000=127.0.0.1:8080")
  }
}

extension Configuration {
  /// The sections that hold scalars, in the order of the file.
  static let sectionNames: [String] = scalars.map(\.section.name).reduce(into: []) { names, name in
    if !name.isEmpty, !names.contains(name) { names.append(name) }
  }

  /// The keys of a section; of the root's, only the scalars.
  static func keys(inSection name: String) -> [String] {
    scalars.map(\.section).filter { $0.name == name }.map(\.key)
  }

  /// The keys of the root.
  static let rootKeys = keys(inSection: "") + sectionNames + ["listeners"]
}
