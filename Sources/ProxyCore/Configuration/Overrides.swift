/// Puts the environment, the flags and `--forward` into the tree that came from the file, before it is decoded. So an
/// override goes through the same checks as the file, and its errors name the variable or the flag.

/// What overrides the file.
struct Overrides {
  var environment: [(String, String)]
  var flags: [(flag: String, value: String)]
  var forwards: [String]

  /// Merges everything into the tree: the environment over the file, flags over both. The last of several equal flags
  /// wins.
  func merge(into root: inout YAMLNode, _ diagnostics: inout DiagnosticCollector) {
    for (name, value) in environment where name.hasPrefix(Configuration.Scalar.environmentPrefix) {
      if name == Configuration.fileEnvironmentVariable { continue }
      let location = SourceLocation.environment(name: name)
      if let scalar = Configuration.scalars.first(where: { $0.environmentVariable == name }) {
        set(scalar, to: value, at: location, in: &root)
      } else {
        // Not an error: Kubernetes sets variables for every Service, and one may be called "sidecar".
        let meant = suggestion(for: name, among: Configuration.scalars.map(\.environmentVariable))
        diagnostics.warning(
          at: location, ValueProblem("the variable is unknown and was ignored", suggestion: meant).message(key: ""))
      }
    }
    for (flag, value) in flags {
      let location = SourceLocation.flag(text: flag)
      if let scalar = Configuration.scalars.first(where: { $0.flag == flag }) {
        set(scalar, to: value, at: location, in: &root)
      } else {
        let meant = suggestion(for: flag, among: Configuration.scalars.map(\.flag))
        diagnostics.error(at: location, ValueProblem("the flag is unknown", suggestion: meant).message(key: ""))
      }
    }
    for (index, forward) in forwards.enumerated() {
      add(forward: forward, number: index + 1, to: &root, &diagnostics)
    }
  }

  private func set(
    _ scalar: Configuration.Scalar, to text: String, at location: SourceLocation, in root: inout YAMLNode
  ) {
    let value = YAMLNode(content: .scalar(text, isPlain: true), location: location)
    root.set(scalar.keyPath.split(separator: ".")[...], to: value)
  }

  /// `LISTEN=TARGET` is an inbound listener with that `bind` and that `target`. Only a Unix path can hold another `=`,
  /// so that the first one is the separator.
  private func add(
    forward: String, number: Int, to root: inout YAMLNode, _ diagnostics: inout DiagnosticCollector
  ) {
    let location = SourceLocation.flag(text: "--forward \(forward)")
    guard let separator = forward.firstIndex(of: "=") else {
      diagnostics.error(
        at: .flag(text: "--forward"),
        "\(quoted(forward)) has no =; expected LISTEN=TARGET such as 127.0.0.1:9000=127.0.0.1:8080")
      // So that nobody complains that there is nothing to listen on as well.
      root.append(YAMLNode(content: .invalid, location: location), toListAt: "listeners")
      return
    }
    let values = [
      ("name", "forward-\(number)"), ("direction", "inbound"), ("bind", String(forward[..<separator])),
      ("target", String(forward[forward.index(after: separator)...])),
    ]
    let entries = values.map { key, text in
      let value = YAMLNode(content: .scalar(text, isPlain: true), location: location)
      return YAMLNode.Entry(key: key, keyLocation: location, value: value)
    }
    root.append(YAMLNode(content: .mapping(entries), location: location), toListAt: "listeners")
  }
}
