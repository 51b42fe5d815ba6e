/// The effective configuration as YAML: `validate` prints it and `GET /config` serves it. Reading the text back gives
/// an equal configuration.

extension Configuration {
  /// The whole configuration, defaults included. It holds no secrets: keys and certificates are named by their paths.
  public func render() -> String {
    var lines: [String] = []
    let draft = ConfigurationDraft(self)
    var section = ""
    for scalar in Configuration.scalars {
      let (name, key) = scalar.section
      if name == "identity", identity == nil { continue }
      if name != section {
        lines.append("\(name):")
        section = name
      }
      lines.append("\(name.isEmpty ? "" : "  ")\(key): \(Self.yaml(scalar.show(draft)))")
    }
    lines.append(listeners.isEmpty ? "listeners: []" : "listeners:")
    for listener in listeners { lines += listener.rendered() }
    return lines.joined(separator: "\n") + "\n"
  }

  /// A text as a YAML scalar that reads back the same: plain where nothing in it can mean anything else.
  fileprivate static func yaml(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
      case UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ":"): true
      default: byte.isDigit
      }
    }
    let isWord = text.utf8.first.map { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: ":") } ?? false
    let isNothing = YAMLNode(content: .scalar(text, isPlain: true), location: .configuration).isNull
    if isPlain, isWord, !isNothing, text.utf8.last != UInt8(ascii: ":") { return text }
    return doubleQuoted(text)
  }

  /// A list in brackets. Inside of them not every YAML reader takes a plain text with a colon.
  fileprivate static func yaml(_ values: [some CustomStringConvertible]) -> String {
    let texts = values.map(\.description).map { $0.contains(":") ? doubleQuoted($0) : yaml($0) }
    return "[" + texts.joined(separator: ", ") + "]"
  }

  private static func doubleQuoted(_ text: String) -> String {
    "\"" + text.unicodeScalars.map { $0.escaped(asASCII: true) }.joined() + "\""
  }
}

extension Configuration.Listener {
  fileprivate func rendered() -> [String] {
    var lines = [
      "  - name: \(Configuration.yaml(name))",
      "    direction: \(direction.rawValue)",
      "    bind: \(Configuration.yaml(bind.description))",
      "    target: \(Configuration.yaml(target.description))",
      "    tls: \(tls.rawValue)",
    ]
    if let allow {
      lines.append(allow.isEmpty ? "    allow: []" : "    allow:")
      for rule in allow {
        lines += item([
          rule.principals.map { "principals: \(Configuration.yaml($0))" },
          rule.ports.map { "ports: \(Configuration.yaml($0))" },
          rule.sources.map { "sources: \(Configuration.yaml($0))" },
        ])
      }
    }
    if !mesh.isEmpty { lines.append("    mesh:") }
    for rule in mesh {
      lines += item([
        rule.destinations.map { "destinations: \(Configuration.yaml($0))" },
        rule.ports.map { "ports: \(Configuration.yaml($0))" },
        "tls: \(rule.tls.rawValue)",
        rule.principals.map { "principals: \(Configuration.yaml($0))" },
      ])
    }
    return lines
  }

  /// The lines of a mapping that is an item of a list.
  private func item(_ entries: [String?]) -> [String] {
    entries.compactMap(\.self).enumerated().map { index, entry in (index == 0 ? "      - " : "        ") + entry }
  }
}
