// The configuration on the command line: `--config`, a flag for every scalar of the file, and `--forward` for a
// listener without a file. `run` and `validate` take it.

import ArgumentParser
import CLinux
import Glibc
import ProxyCore

struct ConfigurationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The configuration file; \(Configuration.fileEnvironmentVariable) names it as well.", valueName: "path"))
  var config: String?

  @Option(
    help: ArgumentHelp(
      "A listener without a file, such as 127.0.0.1:9000=127.0.0.1:8080; can be repeated.", valueName: "listen=target"))
  var forward: [String] = []

  @Option(name: .scalar("workers"), help: .scalar("workers")) var workers: String?
  @Option(name: .scalar("engine"), help: .scalar("engine")) var engine: String?
  @Option(name: .scalar("confinement"), help: .scalar("confinement")) var confinement: String?
  @Option(name: .scalar("identity.certificate"), help: .scalar("identity.certificate")) var certificate: String?
  @Option(name: .scalar("identity.privateKey"), help: .scalar("identity.privateKey")) var privateKey: String?
  @Option(name: .scalar("identity.trustBundle"), help: .scalar("identity.trustBundle")) var trustBundle: String?
  @Option(name: .scalar("identity.alpn"), help: .scalar("identity.alpn")) var alpn: String?
  @Option(name: .scalar("timeouts.connect"), help: .scalar("timeouts.connect")) var connectTimeout: String?
  @Option(name: .scalar("timeouts.handshake"), help: .scalar("timeouts.handshake")) var handshakeTimeout: String?
  @Option(name: .scalar("timeouts.detect"), help: .scalar("timeouts.detect")) var detectTimeout: String?
  @Option(name: .scalar("timeouts.idle"), help: .scalar("timeouts.idle")) var idleTimeout: String?
  @Option(name: .scalar("timeouts.halfClose"), help: .scalar("timeouts.halfClose")) var halfCloseTimeout: String?
  @Option(name: .scalar("drain.grace"), help: .scalar("drain.grace")) var drainGrace: String?
  @Option(name: .scalar("drain.deadline"), help: .scalar("drain.deadline")) var drainDeadline: String?
  @Option(name: .scalar("limits.connections"), help: .scalar("limits.connections")) var connectionsLimit: String?
  @Option(name: .scalar("admin.bind"), help: .scalar("admin.bind")) var adminBind: String?
  @Option(name: .scalar("admin.allowRemote"), help: .scalar("admin.allowRemote")) var adminAllowRemote: String?
  @Option(name: .scalar("metrics.bind"), help: .scalar("metrics.bind")) var metricsBind: String?
  @Option(name: .scalar("accessLog.path"), help: .scalar("accessLog.path")) var accessLogPath: String?
  @Option(name: .scalar("accessLog.format"), help: .scalar("accessLog.format")) var accessLogFormat: String?
  @Option(name: .scalar("accessLog.maxSize"), help: .scalar("accessLog.maxSize")) var accessLogMaxSize: String?
  @Option(name: .scalar("accessLog.maxFiles"), help: .scalar("accessLog.maxFiles")) var accessLogMaxFiles: String?
  @Option(name: .scalar("log.level"), help: .scalar("log.level")) var logLevel: String?
  @Option(name: .scalar("log.format"), help: .scalar("log.format")) var logFormat: String?

  /// The flags of scalars that were given, as `Configuration.load` takes them.
  var flags: [(flag: String, value: String)] {
    let values: [(keyPath: String, value: String?)] = [
      ("workers", workers), ("engine", engine), ("confinement", confinement), ("identity.certificate", certificate),
      ("identity.privateKey", privateKey), ("identity.trustBundle", trustBundle), ("identity.alpn", alpn),
      ("timeouts.connect", connectTimeout), ("timeouts.handshake", handshakeTimeout),
      ("timeouts.detect", detectTimeout), ("timeouts.idle", idleTimeout), ("timeouts.halfClose", halfCloseTimeout),
      ("drain.grace", drainGrace), ("drain.deadline", drainDeadline), ("limits.connections", connectionsLimit),
      ("admin.bind", adminBind), ("admin.allowRemote", adminAllowRemote), ("metrics.bind", metricsBind),
      ("accessLog.path", accessLogPath), ("accessLog.format", accessLogFormat),
      ("accessLog.maxSize", accessLogMaxSize), ("accessLog.maxFiles", accessLogMaxFiles), ("log.level", logLevel),
      ("log.format", logFormat),
    ]
    return values.compactMap { keyPath, value in
      value.map { (Configuration.Scalar.named(keyPath).flag, $0) }
    }
  }

  /// `--config`, or else the environment's.
  var path: String? { config ?? getenv(Configuration.fileEnvironmentVariable).map { String(cString: $0) } }

  /// Flag over environment over file over default.
  func load(isReload: Bool = false) throws(ConfigurationError) -> Configuration.Loaded {
    try Configuration.load(
      file: path, environment: ProcessEnvironment.variables, flags: flags, forwards: forward, isReload: isReload)
  }
}

extension NameSpecification {
  /// The flag that sets a scalar.
  fileprivate static func scalar(_ keyPath: String) -> NameSpecification {
    .customLong(String(Configuration.Scalar.named(keyPath).flag.dropFirst(2)))
  }
}

extension ArgumentHelp {
  /// What the table of scalars says about one.
  fileprivate static func scalar(_ keyPath: String) -> ArgumentHelp {
    let scalar = Configuration.Scalar.named(keyPath)
    let byDefault = scalar.defaultText.isEmpty ? "" : " (default: \(scalar.defaultText))"
    return ArgumentHelp("\(scalar.help)\(byDefault).", valueName: scalar.valueName)
  }
}

extension Configuration.Scalar {
  /// The scalar of a key path that is written in this file.
  fileprivate static func named(_ keyPath: String) -> Configuration.Scalar {
    guard let scalar = Configuration.scalars.first(where: { $0.keyPath == keyPath }) else {
      preconditionFailure("no scalar \(keyPath)")
    }
    return scalar
  }
}

/// The variables of this process.
enum ProcessEnvironment {
  static var variables: [(String, String)] {
    var variables: [(String, String)] = []
    var entry = sidecar_environment()
    while let text = entry?.pointee {
      let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if pair.count == 2 { variables.append((String(pair[0]), String(pair[1]))) }
      entry = entry.map { $0 + 1 }
    }
    return variables
  }
}
