/// How the decoder takes nodes apart: mappings with known keys, lists, scalars, and the complaints when a node is not
/// what it should be.

/// A mapping whose keys have been checked.
struct Section {
  /// Its key path; empty for the root.
  let path: String
  let location: SourceLocation
  /// The known keys that are there.
  let entries: [String: YAMLNode.Entry]
  /// The known keys that unknown ones are probably misspellings of.
  var keysMeant: Set<String> = []

  /// The key path of one of its keys.
  func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
}

extension ConfigurationDecoder {
  /// Reads a mapping and complains about unknown keys. A key with nothing after it is an empty mapping: that is what
  /// remains of a section whose lines are all commented out.
  mutating func section(_ node: YAMLNode, path: String, keys: [String]) -> Section? {
    let prefix = path.isEmpty ? "" : "\(path): "
    if node.isNull { return Section(path: path, location: node.location, entries: [:]) }
    switch node.content {
    case .invalid:
      return nil
    case .scalar, .sequence:
      diagnostics.error(
        at: node.location, "\(prefix)\(node.kind) can't stand here; expected a mapping with \(listed(keys))")
      return nil
    case .mapping(let entries):
      var known: [String: YAMLNode.Entry] = [:]
      var keysMeant: Set<String> = []
      for entry in entries {
        if keys.contains(entry.key) {
          known[entry.key] = entry
        } else {
          let meant = diagnostics.isFull ? nil : keyMeant(by: entry.key, path: path, among: keys)
          if let meant { keysMeant.insert(meant) }
          let problem = ValueProblem(
            "unknown key \(quoted(entry.key))", expected: listed(keys), suggestion: meant)
          diagnostics.error(at: entry.keyLocation, problem.message(key: path))
        }
      }
      return Section(path: path, location: node.location, entries: known, keysMeant: keysMeant)
    }
  }

  /// Complains about keys that a mapping can't do without, unless a misspelling of them has been reported already.
  mutating func require(_ keys: [String], in section: Section) {
    let missing = keys.filter { section.entries[$0] == nil && !section.keysMeant.contains($0) }
    guard !missing.isEmpty else { return }
    let what =
      missing.count == 1
      ? "the key \(missing[0]) is missing" : "the keys \(listed(missing, conjunction: "and")) are missing"
    diagnostics.error(
      at: section.location, "\(section.path): \(what); expected \(listed(keys, conjunction: "and"))")
  }

  /// Reads a list, which may be empty only where the caller says so. `expected` says what belongs into it.
  mutating func list(_ node: YAMLNode, path: String, of expected: String, canBeEmpty: Bool) -> [YAMLNode]? {
    if node.isNull {
      refuseNull(node, path: path, expected: "a list of \(expected), or no \(lastKey(of: path)) key at all")
      return nil
    }
    switch node.content {
    case .invalid:
      return nil
    case .scalar(let text, _):
      let problem = ValueProblem(
        "\(node.kind) is not a list", expected: "a list of \(expected)", suggestion: "[\(text)]")
      diagnostics.error(at: node.location, problem.message(key: path))
      return nil
    case .mapping:
      diagnostics.error(
        at: node.location, "\(path): a mapping is not a list; expected a list of \(expected), each after a \"- \"")
      return nil
    case .sequence(let items):
      guard !items.isEmpty || canBeEmpty else {
        diagnostics.error(
          at: node.location,
          "\(path): an empty list matches nothing; expected a list of \(expected), or no \(lastKey(of: path)) key to "
            + "match everything")
        return nil
      }
      return items
    }
  }

  /// Reads a scalar with a parser of single values.
  mutating func read<Value>(
    _ node: YAMLNode, path: String, _ parse: (ScalarText) throws(ValueProblem) -> Value
  ) -> Value? {
    do throws(ValueProblem) {
      switch node.content {
      case .invalid:
        return nil
      case .scalar(let text, let isPlain) where !node.isNull:
        return try parse(ScalarText(text: text, isPlain: isPlain))
      case .scalar, .sequence, .mapping:
        let problem = node.isNull ? "the value is missing" : "\(node.kind) can't stand here"
        throw ValueProblem(problem, expected: expectation(of: parse))
      }
    } catch {
      diagnostics.error(at: node.location, error.message(key: path))
      return nil
    }
  }

  /// Reads a list of scalars; those that can't be read are left out.
  mutating func values<Value>(
    _ node: YAMLNode, path: String, of expected: String, _ syntax: ValueSyntax<Value>
  ) -> [Value]? {
    guard let items = list(node, path: path, of: expected, canBeEmpty: false) else { return nil }
    var values: [Value] = []
    for (index, item) in items.enumerated() {
      if let value = read(item, path: "\(path)[\(index)]", syntax.parse) { values.append(value) }
    }
    return values
  }

  /// Complains about a key with nothing after it, where that can't be taken for "the default".
  mutating func refuseNull(_ node: YAMLNode, path: String, expected: String) {
    diagnostics.error(at: node.location, "\(path): the value is missing; expected \(expected)")
  }

  /// What a parser says that it expects: every parser refuses an empty text and says so.
  private func expectation<Value>(of parse: (ScalarText) throws(ValueProblem) -> Value) -> String? {
    do throws(ValueProblem) {
      _ = try parse(ScalarText(text: "", isPlain: true))
      return nil
    } catch {
      return error.expected
    }
  }

  private func lastKey(of path: String) -> Substring {
    path.split(separator: ".").last ?? ""
  }

  /// What an unknown key may have been meant to be: a similar one, one that is called otherwise elsewhere, or one that
  /// belongs into a section.
  private func keyMeant(by key: String, path: String, among keys: [String]) -> String? {
    if let similar = suggestion(for: key, among: keys) { return similar }
    if let synonym = Self.synonyms[key.lowercased()], keys.contains(synonym) { return synonym }
    guard path.isEmpty else { return nil }
    let elsewhere = Configuration.scalars.filter { $0.section.key == key }
    return elsewhere.count == 1 ? elsewhere[0].keyPath : nil
  }

  /// What other proxies call these keys.
  private static let synonyms = [
    "address": "bind", "listen": "bind", "port": "bind",
    "backend": "target", "destination": "target", "forward": "target", "to": "target", "upstream": "target",
    "ca": "trustBundle", "cacert": "trustBundle", "roots": "trustBundle", "cert": "certificate", "key": "privateKey",
    "from": "sources", "cidrs": "sources", "spiffe": "principals", "identities": "principals", "mode": "tls",
    "mtls": "tls",
    "threads": "workers", "concurrency": "workers", "logging": "log", "maxconn": "connections",
    "maxconnections": "limits",
    "file": "path", "rules": "allow",
  ]
}
