// The sidecar under test: the real binary with a configuration file of its own, as an operator runs it. Tests see it
// from outside only: sockets, endpoints, logs, exit status and /proc.

import Glibc

/// A running `sidecar-proxy run`. Killed with the last reference; tests end it in good order with `stop`.
package final class SidecarProcess: Sendable {
  /// One entry of `listeners`.
  package struct Listener: Sendable {
    package var name: String
    package var direction: String
    package var bind: Endpoint
    /// As the configuration writes it.
    package var target: String
    /// Further keys of the listener and their values in YAML's flow style.
    package var options: [String: String]
    /// Lives as long as the sidecar in front of it.
    private var server: AppServer?

    /// - Parameter bind: nil: a free port on 127.0.0.1.
    package init(
      _ name: String = "inbound", direction: String = "inbound", bind: Endpoint? = nil, target: String,
      options: [String: String] = [:]
    ) throws {
      self.name = name
      self.direction = direction
      self.bind = try bind ?? .freeLoopback()
      self.target = target
      self.options = options
    }

    package init(
      _ name: String = "inbound", bind: Endpoint? = nil, to server: AppServer, options: [String: String] = [:]
    ) throws {
      try self.init(name, bind: bind, target: "\(server.endpoint)", options: options)
      self.server = server
    }
  }

  /// How the configuration file lies in its directory.
  package enum Layout: Sendable {
    /// A file, rewritten in place.
    case file
    /// As the kubelet mounts a ConfigMap: the file is a link into `..data`, which is a link to the current version's
    /// directory, and an update moves that link.
    case volume
  }

  package let process: ChildProcess
  package let directory: TemporaryDirectory
  package let metricsEndpoint: Endpoint
  package let adminEndpoint: Endpoint
  package let configurationPath: String
  package let accessLogPath: String
  private let listeners: [Listener]
  private let workers: Int
  private let settings: [String: String]
  private let layout: Layout

  /// Starts the sidecar and waits until it is ready.
  ///
  /// - Parameters:
  ///   - settings: top-level keys of the configuration and their values in YAML's flow style, over the harness's own.
  ///   - layout: how the configuration file lies in its directory.
  ///   - launcher: a command in front of the binary's, such as `["ip", "netns", "exec", "name"]`.
  ///   - user: whose the directory is, where the launcher makes the sidecar another user's; nil: this process's.
  ///   - awaitsReadiness: whether `/healthz/ready` is in reach and asked.
  package init(
    _ listeners: [Listener], workers: Int = 1, settings: [String: String] = [:], layout: Layout = .file,
    launcher: [String] = [], user: uid_t? = nil, awaitsReadiness: Bool = true
  ) throws {
    directory = try TemporaryDirectory()
    metricsEndpoint = try .freeLoopback()
    adminEndpoint = try .freeLoopback()
    configurationPath = directory.file(layout == .volume ? "volume/sidecar.yaml" : "sidecar.yaml")
    accessLogPath = directory.file("access.log")
    self.listeners = listeners
    self.workers = workers
    self.settings = settings
    self.layout = layout
    let text = Self.configuration(
      listeners, workers: workers, metrics: metricsEndpoint, admin: adminEndpoint, accessLog: accessLogPath, settings)
    switch layout {
    case .file: try Files.write(text, to: configurationPath)
    case .volume: try Volume.write(text, to: "sidecar.yaml", in: directory.file("volume"))
    }
    if let user {
      for path in [directory.path, configurationPath] { chown(path, user, user) }
    }
    process = try ChildProcess(
      launcher + [try Self.binary(), "run", "--config", configurationPath], environment: Self.environment,
      in: directory)
    if awaitsReadiness { try awaitReady() }
  }

  /// Writes the same configuration with other listeners. The sidecar may notice at once; SIGHUP makes sure.
  package func rewriteConfiguration(_ listeners: [Listener], settings changed: [String: String] = [:]) throws {
    let text = Self.configuration(
      listeners, workers: workers, metrics: metricsEndpoint, admin: adminEndpoint, accessLog: accessLogPath,
      settings.merging(changed) { $1 })
    switch layout {
    case .file: try Files.write(text, to: configurationPath)
    case .volume: try Volume.write(text, to: "sidecar.yaml", in: directory.file("volume"))
    }
  }

  package func awaitReady() throws {
    try eventually("the sidecar is ready; it said: \(process.errorOutput)") {
      guard process.isRunning else { throw HarnessError("the sidecar ended: \(process.errorOutput)") }
      return (try? HTTPClient.request("GET", "/healthz/ready", at: metricsEndpoint).status) == 200
    }
  }

  /// Ends the sidecar at once, as a second signal does, and expects exit status 0.
  package func stop() throws {
    process.signal(SIGINT)
    let ending = try process.wait()
    guard ending == .exited(0) else { throw HarnessError("the sidecar ended with \(ending): \(process.errorOutput)") }
  }

  // MARK: Talking to it

  /// A connection to the listener of that name.
  package func connect(to listener: String = "inbound", receiveBuffer: Int32? = nil) throws -> Connection {
    try Connection(to: try endpoint(of: listener), receiveBuffer: receiveBuffer)
  }

  package func endpoint(of listener: String = "inbound") throws -> Endpoint {
    guard let listener = listeners.first(where: { $0.name == listener }) else {
      throw HarnessError("no listener \(listener)")
    }
    return listener.bind
  }

  package func metrics() throws -> MetricsText {
    let response = try HTTPClient.request("GET", "/metrics", at: metricsEndpoint)
    guard response.status == 200 else { throw HarnessError("/metrics: \(response.status) \(response.text)") }
    return try MetricsText(parsing: response.text)
  }

  /// Waits until the metrics say what is expected.
  /// - Returns: the scrape that did.
  @discardableResult
  package func awaitMetrics(
    within deadline: Duration = .seconds(30), _ what: @autoclosure () -> String, _ condition: (MetricsText) -> Bool
  ) throws -> MetricsText {
    var last: MetricsText?
    do {
      try eventually(within: deadline, what()) {
        let scrape = try metrics()
        last = scrape
        return condition(scrape)
      }
    } catch {
      let counts = last?.samples.filter { $0.value != 0 && !$0.name.contains("_seconds") }
        .map { "\($0.name)\($0.labels) \($0.value)" }.joined(separator: "\n")
      throw HarnessError("\(error)\n\(counts ?? "")\n\(process.errorOutput)")
    }
    // The condition has seen one.
    return last!
  }

  /// Waits until a number of connections have ended for a reason.
  package func awaitClosed(_ reason: String, _ count: Int = 1, listener: String = "inbound") throws {
    try awaitMetrics("\(count) connections of \(listener) closed as \(reason)") {
      $0.sum("sidecar_connections_closed_total", ["listener": listener, "reason": reason]) == count
    }
  }

  /// The lines of the access log so far, by their keys.
  package func accessLog() throws -> [[String: String]] { try Self.parseAccessLog(Files.read(accessLogPath)) }

  /// Waits for lines in the access log.
  package func awaitAccessLog(_ count: Int) throws -> [[String: String]] {
    try eventually("\(count) lines in the access log") { try accessLog().count >= count }
    return try accessLog()
  }

  /// Splits lines of `key=value` words; the first word is the time.
  package static func parseAccessLog(_ text: String) throws -> [[String: String]] {
    try text.split(separator: "\n").map { line in
      var fields: [String: String] = [:]
      for (index, word) in line.split(separator: " ").enumerated() {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if index == 0 && parts.count == 1 {
          fields["time"] = String(word)
        } else {
          guard parts.count == 2 else { throw HarnessError("access log: \(line)") }
          fields[String(parts[0])] = String(parts[1])
        }
      }
      return fields
    }
  }

  /// Open descriptors by kind, once no socket is open but those that listen: one per worker and listener, and the two
  /// endpoints'. The scrape before has a socket that vanishes a moment after its answer.
  package func idleDescriptorCounts() throws -> [String: Int] {
    let expected = listeners.count * workers + 2
    var counts: [String: Int] = [:]
    do {
      try eventually("\(expected) sockets are open") {
        counts = try process.descriptorCounts()
        return counts["socket"] == expected
      }
    } catch {
      throw HarnessError("\(error); open are \(counts)")
    }
    return counts
  }

  // MARK: Set-up

  /// The binary that was built together with the tests, or the one that SIDECAR_TEST_BINARY names.
  package static func binary() throws -> String {
    if let path = getenv("SIDECAR_TEST_BINARY") { return String(cString: path) }
    let tests = try Files.target(ofLink: "/proc/self/exe")
    let candidates = [tests] + CommandLine.arguments.filter { $0.contains("/") }
    for candidate in candidates {
      let directory = candidate.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      let path = (directory + ["sidecar-proxy"]).joined(separator: "/")
      if access(path, X_OK) == 0 { return path }
    }
    throw HarnessError("no sidecar-proxy beside \(candidates); build it, or name it in SIDECAR_TEST_BINARY")
  }

  /// Runs the binary for its output and exit status.
  package static func run(
    _ arguments: [String], in directory: TemporaryDirectory, launcher: [String] = []
  ) throws -> ChildProcess {
    let process = try ChildProcess(launcher + [try binary()] + arguments, environment: environment, in: directory)
    _ = try process.wait()
    return process
  }

  /// Only engine and confinement may come from outside, so that the whole suite can run on another engine and under
  /// sanitizers: other settings of the environment would override the configurations that tests write.
  package static var environment: [String] {
    let passed = ["SIDECAR_ENGINE=", "SIDECAR_CONFINEMENT="]
    return ChildProcess.environment.filter { variable in
      !variable.hasPrefix("SIDECAR_") || passed.contains { variable.hasPrefix($0) }
    }
  }

  /// Whether it runs as it does by default. Not under sanitizers, which also need memory of their own and be loaded first.
  package static var isConfined: Bool { getenv("SIDECAR_CONFINEMENT") == nil }

  private static func configuration(
    _ listeners: [Listener], workers: Int, metrics: Endpoint, admin: Endpoint, accessLog: String,
    _ settings: [String: String]
  ) -> String {
    var keys = [
      "workers": "\(workers)",
      "metrics": "{bind: \"\(metrics)\"}",
      "admin": "{bind: \"\(admin)\"}",
      "accessLog": "{path: \"\(accessLog)\", format: text}",
      "drain": "{grace: 0s, deadline: 30s}",
    ]
    keys.merge(settings) { $1 }
    var text = keys.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
    text += "listeners:\n"
    for listener in listeners {
      text += "  - name: \(listener.name)\n    direction: \(listener.direction)\n"
      text += "    bind: \"\(listener.bind)\"\n    target: \"\(listener.target)\"\n"
      text += listener.options.sorted { $0.key < $1.key }.map { "    \($0.key): \($0.value)\n" }.joined()
    }
    return text
  }
}
