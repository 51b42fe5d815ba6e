/// Reads a YAML file into a tree with positions, event by event, through libyaml. `Configuration.load` calls it.
///
/// Only the part of YAML that a configuration needs is taken: one document of mappings, lists and scalars. Anchors,
/// aliases and tags are refused: they hide what a file says, and aliases make a small file expand to a huge tree.

import CYAML

/// A parse in progress. Problems that the parser can step over (a duplicate key, an alias) go to `diagnostics`; a syntax
/// error ends the parse.
struct YAMLParser: ~Copyable {
  /// The configuration nests five deep.
  static let depthMax = 32

  /// On the heap, since libyaml keeps a pointer to it inside itself.
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let text: SourceText
  private let path: String
  private var diagnostics: DiagnosticCollector

  /// Parses a whole file. Nil when there is no usable tree; an empty file is a null node.
  static func parse(_ bytes: [UInt8], path: String, into diagnostics: inout DiagnosticCollector) -> YAMLNode? {
    do throws(Diagnostic) {
      let text = try SourceText(bytes, path: path)
      return text.bytes.withUnsafeBufferPointer { bytes in
        var parser = YAMLParser(text, path: path, diagnostics: diagnostics)
        yaml_parser_set_encoding(parser.parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser.parser, bytes.baseAddress, bytes.count)
        let root = parser.document()
        diagnostics = parser.diagnostics
        return root
      }
    } catch {
      diagnostics.error(at: error.location, error.message)
      return nil
    }
  }

  private init(_ text: SourceText, path: String, diagnostics: DiagnosticCollector) {
    self.text = text
    self.path = path
    self.diagnostics = diagnostics
    parser = .allocate(capacity: 1)
    // It fails only when malloc does, in which case the process has no future.
    precondition(yaml_parser_initialize(parser) == 1, "out of memory")
  }

  deinit {
    yaml_parser_delete(parser)
    parser.deallocate()
  }

  private mutating func document() -> YAMLNode? {
    do throws(Diagnostic) {
      var root: YAMLNode?
      while true {
        let event = try next()
        switch event.kind {
        case .documentStart where root != nil:
          throw Diagnostic(.error, at: event.location, "a second YAML document begins here; expected only one")
        case .streamStart, .documentStart, .documentEnd:
          continue
        case .streamEnd:
          let empty = YAMLNode(content: .scalar("", isPlain: true), location: .wholeFile(path: path))
          return root ?? empty
        default:
          root = try node(event, depth: 1)
        }
      }
    } catch {
      diagnostics.error(at: error.location, error.message)
      return nil
    }
  }

  /// Builds the node that an event begins.
  private mutating func node(_ event: Event, depth: Int) throws(Diagnostic) -> YAMLNode {
    guard depth <= Self.depthMax else {
      throw Diagnostic(.error, at: event.location, "nested deeper than \(Self.depthMax) levels; expected 5 at most")
    }
    if let properties = event.unsupportedProperties {
      diagnostics.error(at: event.location, properties)
    }
    let content: YAMLNode.Content
    switch event.kind {
    case .scalar(let text, let isPlain):
      content = .scalar(text, isPlain: isPlain)
    case .sequenceStart:
      content = .sequence(try items(depth: depth))
    case .mappingStart:
      content = .mapping(try entries(depth: depth))
    default:
      content = .invalid
    }
    return YAMLNode(content: event.unsupportedProperties == nil ? content : .invalid, location: event.location)
  }

  private mutating func items(depth: Int) throws(Diagnostic) -> [YAMLNode] {
    var items: [YAMLNode] = []
    while true {
      let event = try next()
      if case .sequenceEnd = event.kind { return items }
      items.append(try node(event, depth: depth + 1))
    }
  }

  private mutating func entries(depth: Int) throws(Diagnostic) -> [YAMLNode.Entry] {
    var entries: [YAMLNode.Entry] = []
    var lines: [String: SourceLocation] = [:]
    while true {
      let event = try next()
      if case .mappingEnd = event.kind { return entries }
      let key = try node(event, depth: depth + 1)
      let value = try node(next(), depth: depth + 1)
      switch key.content {
      case .scalar(let text, _):
        if let first = lines.updateValue(key.location, forKey: text) {
          diagnostics.error(
            at: key.location, "the key \(quoted(text)) appears twice, first at \(first.reference); remove one of them")
          lines[text] = first
        } else {
          entries.append(YAMLNode.Entry(key: text, keyLocation: key.location, value: value))
        }
      case .invalid:
        break
      case .sequence, .mapping:
        // What an unexpanded {{ template }} turns into.
        diagnostics.error(at: key.location, "\(key.kind) can't be a key; expected a word: is a text not quoted?")
      }
    }
  }
}

extension YAMLParser {
  /// One of libyaml's events, copied out of it.
  private struct Event {
    enum Kind {
      case streamStart, streamEnd, documentStart, documentEnd
      case scalar(String, isPlain: Bool)
      case sequenceStart, sequenceEnd, mappingStart, mappingEnd
      case alias
    }

    var kind: Kind
    var location: SourceLocation
    /// The complaint about an alias, an anchor or a tag, when the event has one.
    var unsupportedProperties: String?
  }

  private func next() throws(Diagnostic) -> Event {
    var event = yaml_event_t()
    guard yaml_parser_parse(parser, &event) == 1 else { throw syntaxError() }
    defer { yaml_event_delete(&event) }
    let location = SourceLocation.file(
      path: path, line: event.start_mark.line + 1, column: event.start_mark.column + 1)
    var anchor: UnsafeMutablePointer<yaml_char_t>?
    var tag: UnsafeMutablePointer<yaml_char_t>?
    let kind: Event.Kind
    switch event.type {
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      (anchor, tag) = (scalar.anchor, scalar.tag)
      let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      kind = .scalar(String(decoding: bytes, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
    case YAML_SEQUENCE_START_EVENT:
      (anchor, tag) = (event.data.sequence_start.anchor, event.data.sequence_start.tag)
      kind = .sequenceStart
    case YAML_MAPPING_START_EVENT:
      (anchor, tag) = (event.data.mapping_start.anchor, event.data.mapping_start.tag)
      kind = .mappingStart
    case YAML_SEQUENCE_END_EVENT: kind = .sequenceEnd
    case YAML_MAPPING_END_EVENT: kind = .mappingEnd
    case YAML_DOCUMENT_START_EVENT: kind = .documentStart
    case YAML_DOCUMENT_END_EVENT: kind = .documentEnd
    case YAML_STREAM_START_EVENT: kind = .streamStart
    case YAML_ALIAS_EVENT: kind = .alias
    default: kind = .streamEnd
    }
    var complaint: String?
    if case .alias = kind {
      complaint = "aliases are not supported; write the value out (or quote a text that begins with *)"
    } else if anchor != nil {
      complaint = "anchors are not supported; write the value out (or quote a text that begins with &)"
    } else if tag != nil {
      complaint = "tags are not supported; remove the tag (or quote a text that begins with !)"
    }
    return Event(kind: kind, location: location, unsupportedProperties: complaint)
  }
}

extension YAMLParser {
  /// What libyaml stopped at, in words for somebody who edits a file rather than writes a parser.
  private func syntaxError() -> Diagnostic {
    let problem = parser.pointee.problem.map { String(cString: $0) } ?? "it can't be read"
    var mark = parser.pointee.problem_mark
    var message = "not valid YAML: \(problem)"
    if problem.contains("unexpected end of stream") {
      // The end of the file says nothing; the place where the quote was opened does.
      mark = parser.pointee.context_mark
      message = "not valid YAML: the quote that opens here is never closed"
    } else if let hint = hint(problem, line: text.line(mark.line + 1) ?? "", column: mark.column) {
      message = "not valid YAML: \(hint)"
    }
    return Diagnostic(.error, at: .file(path: path, line: mark.line + 1, column: mark.column + 1), message)
  }

  private func hint(_ problem: String, line: String, column: Int) -> String? {
    let scalars = Array(line.unicodeScalars)
    let character = column < scalars.count ? scalars[column] : nil
    if text.holdsMergeConflict {
      return "the file holds an unresolved merge conflict (<<<<<<<)"
    }
    if line.contains("[:") || line.contains("]:") {
      return "an IPv6 address needs quotes, since [ begins a list; expected for example \"[::1]:8080\""
    }
    if character == "\t" {
      return "a tab stands where only spaces may indent; replace it with spaces"
    }
    if problem.contains("expected alphabetic or numeric character") {
      return "* and & have a meaning of their own at the start of a value; put the text in quotes"
    }
    if problem.contains("cannot start any token"), let character {
      return "a value can't begin with \(quoted(String(character))); put the text in quotes"
    }
    if problem.contains("mapping values are not allowed") {
      return "\": \" stands inside a value; check the indentation, the space after each colon of this line and the one "
        + "before, and put a text with a colon in quotes"
    }
    if problem.contains("expected key") || problem.contains("expected '-' indicator") {
      return "this line is indented differently from the lines that it belongs to"
    }
    if problem.contains("expected ',' or") {
      return "the list or mapping that was opened before isn't closed; expected \",\" or the closing bracket"
    }
    return nil
  }
}
