/// From a file, the environment and flags to the effective configuration. `run` and `validate` call `load` at the start,
/// the control thread calls it again when the file changes.

extension Configuration {
  /// A configuration that can be used.
  public struct Loaded: Sendable, Equatable {
    public let configuration: Configuration
    /// What is probably not meant so, sorted by place.
    public let warnings: [Diagnostic]
  }

  /// Names the configuration file for the command line; `load` doesn't read it, but knows that it is no mistake.
  public static let fileEnvironmentVariable = "SIDECAR_CONFIG"

  /// Reads the file, puts the environment and then the flags over it, and decodes and checks the result.
  ///
  /// - Parameters:
  ///   - file: The path of the YAML file; nil for defaults alone.
  ///   - environment: Every variable of the process; only those that begin with `SIDECAR_` matter.
  ///   - flags: The flags of `Configuration.scalars` that were given, with their dashes (`--timeouts-connect`).
  ///   - forwards: The values of `--forward`: each is an inbound listener `forward-1`, `forward-2`, ….
  ///   - isReload: Whether a proxy runs already, with what was loaded before.
  /// - Throws: Everything that is wrong, all at once: what can't be read, what can't be parsed, and what contradicts
  ///   itself.
  public static func load(
    file: String?, environment: [(String, String)] = [], flags: [(flag: String, value: String)] = [],
    forwards: [String] = [], isReload: Bool = false
  ) throws(ConfigurationError) -> Loaded {
    let content: [UInt8]?
    do throws(Diagnostic) {
      content = if let file { try ConfigurationFile.read(file, isReload: isReload) } else { nil }
    } catch {
      throw ConfigurationError(diagnostics: [error])
    }
    let overrides = Overrides(environment: environment, flags: flags, forwards: forwards)
    return try load(content: content, path: file ?? "", overrides: overrides)
  }

  /// The same for a file that has been read already; `content` is nil when there is none.
  static func load(
    content: [UInt8]?, path: String, overrides: Overrides
  ) throws(ConfigurationError) -> Loaded {
    let location: SourceLocation = content == nil ? .configuration : .wholeFile(path: path)
    var diagnostics = DiagnosticCollector()
    var root: YAMLNode? = YAMLNode(content: .scalar("", isPlain: true), location: location)
    if let content { root = YAMLParser.parse(content, path: path, into: &diagnostics) }
    guard var root else { throw ConfigurationError(diagnostics: diagnostics.sorted()) }
    overrides.merge(into: &root, &diagnostics)
    var decoder = ConfigurationDecoder(diagnostics, source: location)
    decoder.decode(root)
    decoder.check()
    let sorted = decoder.diagnostics.sorted()
    guard let configuration = decoder.finish() else { throw ConfigurationError(diagnostics: sorted) }
    return Loaded(configuration: configuration, warnings: sorted)
  }
}
