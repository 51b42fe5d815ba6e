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
    if let identity = configuration.identity {
      do throws(TLSMaterialError) {
        let (id, warnings) = try Proxy.check(identity)
        print("identity: \(id)")
        for warning in warnings { print("warning: \(warning)") }
      } catch {
        obstacles.append("identity: \(error)")
      }
    }
    do throws(RingError) {
      let choice = try Engine.select(configuration.engine)
      print("engine: \(choice.engine.rawValue)" + (choice.fallbackReason.map { ", since \($0)" } ?? ""))
    } catch {
      obstacles.append("engine: \(error)")
    }
    report(CPUBudget.read(), configuration)
    print("metrics and health: http://\(configuration.metrics.bind), control: http://\(configuration.admin.bind)")
    guard obstacles.isEmpty else { throw CommandFailure(lines: obstacles, code: 2) }
  }

  private func report(_ cpus: CPUBudget, _ configuration: Configuration) {
    let quota = cpus.quota.map { ", quota \($0) CPUs" } ?? ", no quota"
    print("workers: \(configuration.workerCount) (\(cpus.affinity) CPUs in the affinity mask\(quota))")
    let limit = DescriptorBudget.raiseLimit()
    let budget = DescriptorBudget(
      limit: limit, workers: configuration.workerCount, listeners: configuration.listeners.count)
    let wanted = configuration.limits.connections
    print("connections: \(min(wanted, budget.connectionsMax)) at once (\(limit) open files allowed)")
    if wanted > budget.connectionsMax {
      print("warning: limits.connections: \(wanted) doesn't fit; raise the hard limit on open files (ulimit -Hn)")
    }
  }
}

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print the version.")

  func run() { print(BuildInfo.version) }
}
