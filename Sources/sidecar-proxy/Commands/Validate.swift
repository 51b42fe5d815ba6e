// `validate`: what `run` would do here with this configuration, without doing it.

import ArgumentParser
import IOUring
import ProxyCore

struct Validate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what run would do here, and what would stop it. Exit 2 when something would.")

  @OptionGroup var options: ConfigurationOptions

  func run() throws {
    let loaded: Configuration.Loaded
    do throws(ConfigurationError) { loaded = try options.load() } catch { throw CommandFailure.configuration(error) }
    let configuration = loaded.configuration
    for warning in loaded.warnings { print("warning: \(warning)") }
    print("configuration: \(options.path ?? "no file"), valid")
    var obstacles: [String] = []

    for listener in configuration.listeners {
      print(
        "listener \(listener.name): \(listener.direction.rawValue) \(listener.bind) → \(listener.target), "
          + "tls \(listener.tls.rawValue)")
    }
    do throws(RingError) {
      let workers = configuration.workerCount
      let choice = try Engine.select(configuration.engine) { () throws(RingError) in
        try RingSupport.check(rings: workers)
      }
      print("engine: \(choice.engine.rawValue)" + (choice.fallbackReason.map { ", since \($0)" } ?? ""))
    } catch {
      obstacles.append("engine: \(error)")
    }
    obstacles += report(Confinement(configuration, configurationPath: options.path))
    obstacles += report(configuration.identity)
    obstacles += report(CPUBudget.read(), configuration)
    let preflight = Preflight(configuration)
    for warning in preflight.warnings { print("warning: \(warning)") }
    obstacles += preflight.obstacles
    print("metrics and health: http://\(configuration.metrics.bind), control: http://\(configuration.admin.bind)")
    print("in effect:")
    for line in configuration.render().split(separator: "\n") { print("  \(line)") }
    guard obstacles.isEmpty else { throw CommandFailure(lines: obstacles, code: 2) }
  }

  /// - Returns: what would stop `run`.
  private func report(_ confinement: Confinement) -> [String] {
    let (lines, refusals) = confinement.forecast()
    print("confinement: \(confinement.mode.rawValue)")
    for line in lines { print("  \(line)") }
    if confinement.mode == .required { return refusals.map { "confinement: \($0)" } }
    for refusal in refusals { print("warning: confinement: goes without \(refusal)") }
    return []
  }

  /// Loads the identity as `run` does.
  /// - Returns: what would stop it.
  private func report(_ identity: Configuration.Identity?) -> [String] {
    guard let identity else {
      print("identity: none, nothing uses TLS")
      return []
    }
    do throws(Proxy.LoadFailure) {
      let (context, warnings) = try Proxy.loadIdentity(identity)
      for warning in warnings { print("warning: \(warning)") }
      let leaf = context.chain[0]
      print("identity: \(context.id), \(leaf.key), valid until \(leaf.validity.notAfter)")
      for issuer in context.chain.dropFirst() { print("  intermediate \(issuer.line)") }
      for anchor in context.bundle { print("  trusts \(anchor.line)") }
      print("  peers are recognised by ALPN \(identity.alpn)")
      return []
    } catch {
      return error.lines
    }
  }

  /// - Returns: what would stop `run`.
  private func report(_ cpus: CPUBudget, _ configuration: Configuration) -> [String] {
    let quota = cpus.quota.map { ", quota \($0) CPUs" } ?? ", no quota"
    print("workers: \(configuration.workerCount) (\(cpus.affinity) CPUs in the affinity mask\(quota))")
    let limit = DescriptorBudget.raiseLimit()
    let budget = DescriptorBudget(
      limit: limit, workers: configuration.workerCount, listeners: configuration.listeners.count)
    let wanted = configuration.limits.connections
    print("connections: \(min(wanted, budget.connectionsMax)) at once (\(limit) open files allowed)")
    if wanted > budget.connectionsMax {
      print(
        "warning: limits.connections: \(wanted) doesn't fit; raise the hard limit on open files (ulimit -Hn), or workers"
      )
    }
    var obstacles = budget.obstacle.map { [$0] } ?? []
    do throws(RingError) {
      try WorkerMemory.check(workers: configuration.workerCount, slots: budget.slotsPerWorker)
    } catch {
      obstacles.append("\(error)")
    }
    return obstacles
  }
}

extension CertificateSummary {
  fileprivate var line: String { "\(subject), valid until \(validity.notAfter), SHA-256 \(sha256)" }
}

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print the version.")

  func run() { print(BuildInfo.version) }
}
