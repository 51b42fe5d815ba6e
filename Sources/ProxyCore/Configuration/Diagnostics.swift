/// What is wrong with a configuration, and where. The parser, the decoder and the overrides collect diagnostics;
/// `run` and `validate` print them, and a reload logs them.

/// Where a value came from.
public enum SourceLocation: Sendable, Hashable, CustomStringConvertible {
  /// A place in a file; line and column count from 1, the column in Unicode scalars, as editors show them.
  case file(path: String, line: Int, column: Int)
  /// The file as a whole.
  case wholeFile(path: String)
  /// An environment variable.
  case environment(name: String)
  /// A command-line flag, or one use of a flag that can be repeated (`--forward 127.0.0.1:1=127.0.0.1:2`).
  case flag(text: String)
  /// The configuration as a whole, when no file was given.
  case configuration

  public var description: String {
    switch self {
    case .file(let path, let line, let column): "\(path):\(line):\(column)"
    case .wholeFile(let path): path
    case .environment(let name): "environment \(shortened(name))"
    case .flag(let text): shortened(text)
    case .configuration: "configuration"
    }
  }

  /// How a message about another place refers to this one.
  var reference: String {
    switch self {
    case .file(_, let line, _): "line \(line)"
    case .wholeFile, .environment, .flag, .configuration: description
    }
  }

  /// The order in which an operator would look for mistakes: the file from top to bottom, then what overrides it.
  fileprivate var rank: (source: Int, line: Int, column: Int) {
    switch self {
    case .wholeFile, .configuration: (0, 0, 0)
    case .file(_, let line, let column): (1, line, column)
    case .environment: (2, 0, 0)
    case .flag: (3, 0, 0)
    }
  }
}

/// One thing that is wrong, on one line: where, what, what was expected and what may have been meant.
public struct Diagnostic: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Severity: Sendable, Hashable {
    /// The configuration can't be used.
    case error
    /// The configuration can be used, but is probably not what its author meant.
    case warning
  }

  public let severity: Severity
  public let location: SourceLocation
  public let message: String

  public init(_ severity: Severity, at location: SourceLocation, _ message: String) {
    self.severity = severity
    self.location = location
    self.message = message
  }

  /// `file:line:column: message`, the form that editors and CI systems recognise.
  public var description: String {
    severity == .error ? "\(location): \(message)" : "\(location): warning: \(message)"
  }
}

/// Why a configuration was refused: every error that was found, and the warnings beside them.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// In the order of their places; at least one of them is an error.
  public let diagnostics: [Diagnostic]

  /// One diagnostic a line.
  public var description: String {
    diagnostics.map(\.description).joined(separator: "\n")
  }
}

/// The diagnostics of one load. A file full of mistakes can't make it grow beyond `countMax`.
struct DiagnosticCollector {
  /// More than anybody reads before mending the first ones.
  static let countMax = 100

  private var diagnostics: [Diagnostic] = []
  private var omitted = 0
  private(set) var hasErrors = false

  /// Whether further diagnostics are only counted. Who would work for a good message may then leave it.
  var isFull: Bool { diagnostics.count >= Self.countMax }

  mutating func error(at location: SourceLocation, _ message: String) {
    hasErrors = true
    add(Diagnostic(.error, at: location, message))
  }

  mutating func warning(at location: SourceLocation, _ message: String) {
    add(Diagnostic(.warning, at: location, message))
  }

  private mutating func add(_ diagnostic: Diagnostic) {
    if isFull {
      omitted += 1
    } else {
      diagnostics.append(diagnostic)
    }
  }

  /// What was collected, sorted by place; those at one place keep the order in which they were found.
  func sorted() -> [Diagnostic] {
    let ranked = diagnostics.enumerated().map { (rank: $1.location.rank, offset: $0, diagnostic: $1) }
    var sorted =
      ranked
      .sorted {
        ($0.rank.source, $0.rank.line, $0.rank.column, $0.offset)
          < ($1.rank.source, $1.rank.line, $1.rank.column, $1.offset)
      }
      .map(\.diagnostic)
    if omitted > 0, let last = sorted.last {
      sorted.append(Diagnostic(hasErrors ? .error : .warning, at: last.location, "\(omitted) more problems not shown"))
    }
    return sorted
  }
}

/// A value that can't be used. Parsers of single values throw it; whoever knows the key and the place turns it into a
/// diagnostic.
struct ValueProblem: Error, Equatable {
  /// What is wrong, with the offending text.
  var problem: String
  /// What would be right, to follow "expected".
  var expected: String?
  /// What may have been meant, to follow "did you mean".
  var suggestion: String?

  init(_ problem: String, expected: String? = nil, suggestion: String? = nil) {
    self.problem = problem
    self.expected = expected
    self.suggestion = suggestion
  }

  /// `key: what is wrong; expected …; did you mean …?`
  func message(key: String) -> String {
    var message = key.isEmpty ? problem : "\(key): \(problem)"
    if let expected { message += "; expected \(expected)" }
    if let suggestion, isPresentable(suggestion) { message += "; did you mean \(suggestion)?" }
    return message
  }
}

/// The text in double quotes, fit for one line of a terminal: control characters are escaped, since a file may hold
/// escape sequences, and a long text is cut.
func quoted(_ text: some StringProtocol) -> String {
  "\"\(shortened(text))\""
}

/// The same without the quotes.
func shortened(_ text: some StringProtocol) -> String {
  let lengthMax = 60
  let scalars = text.unicodeScalars
  let shown = scalars.prefix(lengthMax).map { $0.escaped(asASCII: false) }.joined()
  return scalars.dropFirst(lengthMax).isEmpty ? shown : shown + "…"
}

/// Whether a text can be offered back as it is: short, and nothing in it that would act on a terminal.
func isPresentable(_ text: String) -> Bool {
  text.utf8.count <= 100
    && text.unicodeScalars.allSatisfy { $0 == "\"" || $0 == "\\" || $0.escaped(asASCII: false) == String($0) }
}

/// `a`, `a or b`, `a, b or c`.
func listed(_ words: [String], conjunction: String = "or") -> String {
  guard let last = words.last, words.count > 1 else { return words.first ?? "" }
  return "\(words.dropLast().joined(separator: ", ")) \(conjunction) \(last)"
}
