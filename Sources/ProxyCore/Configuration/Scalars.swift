/// The table of every scalar in the configuration. The decoder, the renderer, the overrides, the command line's help
/// and docs/configuration.md are all driven by it: a scalar that is added here can be set by file, environment and flag.

extension Configuration {
  /// A single value of the configuration, outside of lists.
  public struct Scalar: Sendable {
    /// Its place in the file: `timeouts.halfClose`.
    public let keyPath: String
    /// The flag that sets it: `--timeouts-half-close`.
    public let flag: String
    /// The environment variable that sets it: `SIDECAR_TIMEOUTS_HALF_CLOSE`.
    public let environmentVariable: String
    /// What to call its value in a usage text: `duration`.
    public let valueName: String
    /// The value that it has when nobody sets it, as text; empty when there is none.
    public let defaultText: String
    /// One sentence for a usage text, without a full stop.
    public let help: String

    /// Reads the value into a draft.
    let read: @Sendable (ScalarText, inout ConfigurationDraft) throws(ValueProblem) -> Void
    /// The value in a draft, as the text that `read` takes.
    let show: @Sendable (ConfigurationDraft) -> String

    fileprivate init<Value>(
      _ keyPath: String, _ property: WritableKeyPath<ConfigurationDraft, Value> & Sendable,
      _ syntax: ValueSyntax<Value>, _ help: String
    ) {
      self.keyPath = keyPath
      let words = Self.words(in: keyPath)
      flag = "--" + words.joined(separator: "-")
      environmentVariable = Self.environmentPrefix + words.joined(separator: "_").uppercased()
      valueName = syntax.valueName
      self.help = help
      read = { scalar, draft throws(ValueProblem) in draft[keyPath: property] = try syntax.parse(scalar) }
      show = { syntax.format($0[keyPath: property]) }
      defaultText = show(ConfigurationDraft())
    }

    /// What the environment variables begin with.
    public static let environmentPrefix = "SIDECAR_"

    /// The key that the scalar has inside its section, and the section's name; that is empty for the root.
    var section: (name: String, key: String) {
      guard let dot = keyPath.firstIndex(of: ".") else { return ("", keyPath) }
      return (String(keyPath[..<dot]), String(keyPath[keyPath.index(after: dot)...]))
    }

    /// The words of a key path in lower case: `timeouts.halfClose` has `timeouts`, `half` and `close`.
    private static func words(in keyPath: String) -> [String] {
      var words = [""]
      for character in keyPath {
        if character == "." {
          words.append("")
        } else if character.isUppercase {
          words.append(character.lowercased())
        } else {
          words[words.count - 1].append(character)
        }
      }
      return words
    }
  }

  /// Every scalar, in the order of the file.
  public static let scalars: [Scalar] = [
    Scalar(
      "workers", \.configuration.workers, .workers, "How many worker threads to run; auto: one for each usable CPU"),
    Scalar("engine", \.configuration.engine, .choice(), "The kernel interface; auto: io_uring, or else epoll"),
    Scalar(
      "confinement", \.configuration.confinement, .choice(),
      "Whether the process gives up the rights that it needs no more; auto: as far as the kernel lets it"),
    Scalar(
      "identity.certificate", \.identity.certificate, .path(example: "/var/run/sidecar/tls/tls.crt"),
      "The certificate chain in PEM, leaf first"),
    Scalar(
      "identity.privateKey", \.identity.privateKey, .path(example: "/var/run/sidecar/tls/tls.key"),
      "The private key in PEM"),
    Scalar(
      "identity.trustBundle", \.identity.trustBundle, .path(example: "/var/run/sidecar/tls/ca.crt"),
      "The certificates in PEM that peers must chain to"),
    Scalar("identity.alpn", \.identity.alpn, .alpn, "The ALPN protocol by which sidecars recognise each other"),
    Scalar(
      "timeouts.connect", \.configuration.timeouts.connect, .duration(phase),
      "How long a connection to a target may take"),
    Scalar(
      "timeouts.handshake", \.configuration.timeouts.handshake, .duration(phase), "How long a TLS handshake may take"),
    Scalar(
      "timeouts.detect", \.configuration.timeouts.detect, .duration(phase),
      "How long a permissive listener waits to tell TLS from plain text"),
    Scalar(
      "timeouts.idle", \.configuration.timeouts.idle, .durationOrNever(max: durationMax),
      "How long a connection may carry no byte; 0s: for ever"),
    Scalar(
      "timeouts.halfClose", \.configuration.timeouts.halfClose, .durationOrNever(max: durationMax),
      "How long one direction may outlive the other; 0s: for ever"),
    Scalar(
      "drain.grace", \.configuration.drain.grace, .duration(.zero...drainMax),
      "How long to go on accepting after SIGTERM"),
    Scalar(
      "drain.deadline", \.configuration.drain.deadline, .duration(.zero...drainMax),
      "How long after SIGTERM to cut the connections that are left"),
    Scalar(
      "limits.connections", \.configuration.limits.connections, .count(1...Limits.connectionsMax),
      "How many connections may be open at once"),
    Scalar("admin.bind", \.configuration.admin.bind, .localBind, "Where the control endpoint listens"),
    Scalar(
      "admin.allowRemote", \.configuration.admin.allowRemote, .boolean,
      "Whether admin.bind may be reached from other hosts"),
    Scalar("metrics.bind", \.configuration.metrics.bind, .bind, "Where metrics and health are served"),
    Scalar(
      "accessLog.path", \.configuration.accessLog.path, .path(example: "/dev/stdout"), "Where the access log is written"
    ),
    Scalar("accessLog.format", \.configuration.accessLog.format, .choice(), "How the access log is written, or off"),
    Scalar(
      "accessLog.maxSize", \.configuration.accessLog.maxSize, .sizeOrUnlimited(accessLogSize),
      "How large the access log's file may grow before it is rotated; 0: without a limit"),
    Scalar(
      "accessLog.maxFiles", \.configuration.accessLog.maxFiles, .count(AccessLog.maxFilesRange),
      "How many access log files to keep, the current one included"),
    Scalar("log.level", \.configuration.log.level, .choice(), "The least severe messages to log"),
    Scalar("log.format", \.configuration.log.format, .choice(), "How the log on standard error is written"),
  ]

  /// The phases of a connection that must end: without a limit, a peer that stops in the middle would hold its slot for
  /// ever; below a millisecond no timer is precise.
  private static let phase: ClosedRange<Duration> = .milliseconds(1)...(.seconds(3600))
  /// A year; what is longer is a slip, and 0s is there for "never".
  private static let durationMax: Duration = .seconds(365 * 86_400)
  /// At the least two batches of lines; at the most what is surely a slip.
  private static let accessLogSize: ClosedRange<ByteSize> = .kibibytes(64)...(.gibibytes(1024))
  /// Nobody waits longer for a pod to end.
  private static let drainMax: Duration = .seconds(86_400)
}
