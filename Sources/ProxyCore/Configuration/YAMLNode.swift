/// A YAML document as a tree in which every node knows where it came from. `YAMLParser` builds it from a file, the
/// overrides put the environment and flags into it, and the decoder reads it.

/// A node of the tree.
struct YAMLNode: Equatable {
  indirect enum Content: Equatable {
    /// Text. `isPlain` is false when it was quoted or a block (`|`, `>`), and so can't be a number or a null.
    case scalar(String, isPlain: Bool)
    case sequence([YAMLNode])
    /// Keys are unique.
    case mapping([Entry])
    /// Something that the parser has complained about already; the decoder passes over it.
    case invalid
  }

  struct Entry: Equatable {
    var key: String
    var keyLocation: SourceLocation
    var value: YAMLNode
  }

  var content: Content
  var location: SourceLocation

  /// A key with nothing after it, or one of YAML's words for nothing.
  var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }

  /// What the node is, for an error message.
  var kind: String {
    switch content {
    case .scalar(let text, _): isNull ? "nothing" : quoted(text)
    case .sequence: "a list"
    case .mapping: "a mapping"
    case .invalid: "something invalid"
    }
  }
}

extension YAMLNode {
  /// Puts a value at a path of keys, making the mappings on the way. What the file says at that path is replaced; a
  /// node on the way that can't hold keys is left alone, so that the decoder complains about it.
  mutating func set(_ path: ArraySlice<Substring>, to value: YAMLNode) {
    guard let key = path.first else {
      self = value
      return
    }
    if isNull { self = YAMLNode(content: .mapping([]), location: value.location) }
    guard case .mapping(var entries) = content else { return }
    let index: Int
    if let found = entries.firstIndex(where: { $0.key == key }) {
      index = found
    } else {
      index = entries.endIndex
      let empty = YAMLNode(content: .mapping([]), location: value.location)
      entries.append(Entry(key: String(key), keyLocation: value.location, value: empty))
    }
    entries[index].value.set(path.dropFirst(), to: value)
    content = .mapping(entries)
  }

  /// Adds an item to the list under a key of the root, making the list where there is none.
  mutating func append(_ item: YAMLNode, toListAt key: String) {
    if isNull { self = YAMLNode(content: .mapping([]), location: location) }
    guard case .mapping(var entries) = content else { return }
    guard let index = entries.firstIndex(where: { $0.key == key }) else {
      let list = YAMLNode(content: .sequence([item]), location: item.location)
      entries.append(Entry(key: key, keyLocation: item.location, value: list))
      content = .mapping(entries)
      return
    }
    if entries[index].value.isNull {
      entries[index].value = YAMLNode(content: .sequence([item]), location: item.location)
    } else if case .sequence(let items) = entries[index].value.content {
      entries[index].value.content = .sequence(items + [item])
    }
    content = .mapping(entries)
  }
}
