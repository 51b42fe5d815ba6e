// `run`: the proxy itself. The main thread becomes the control thread.

import ArgumentParser
import CLinux
import Glibc
import ProxyCore

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the proxy until it is told to stop.",
    discussion: """
      SIGTERM drains: unready at once, accepting for drain.grace, ended with the last connection or at drain.deadline. \
      A second SIGTERM, or SIGINT, ends at once. SIGHUP loads the configuration and the identity again and reopens the access log.
      """)

  @OptionGroup var options: ConfigurationOptions

  func run() throws {
    ProcessSetup.prepare()
    // Before the file is read: a change in between would go unnoticed.
    let watch = options.path.map { path in Result { () throws(StartError) in try FileWatch(paths: [path]) } }
    let loaded: Configuration.Loaded
    do throws(ConfigurationError) { loaded = try options.load() } catch { throw CommandFailure.configuration(error) }
    let configuration = loaded.configuration
    let log = Log(level: configuration.log.level, format: configuration.log.format)
    for warning in loaded.warnings { log.warning("\(warning)") }
    if case .failure(let error) = watch { log.warning("\(error)") }
    let outcome: Proxy.Outcome
    do throws(StartError) {
      var confinement = Confinement(configuration, configurationPath: options.path)
      try confinement.enter()
      let proxy = try Proxy(configuration, options: try proxyOptions(try? watch?.get(), confinement, log), log: log)
      // Ahead of the endpoints: who is told that the proxy is ready finds it confined.
      try confinement.complete()
      confinement.report(to: log)
      let endpoints = try Endpoints(of: proxy)
      log.info("metrics and health on http://\(endpoints.metricsAddress), control on http://\(endpoints.adminAddress)")
      ProcessSetup.releaseStartupPages()
      outcome = proxy.run()
      endpoints.shutDown()
    } catch {
      throw CommandFailure.failed(error)
    }
    if outcome == .abandoned {
      throw CommandFailure.failed("a worker did not end in time; the connections that it had left were cut")
    }
  }

  private func proxyOptions(
    _ watch: FileWatch?, _ confinement: Confinement, _ log: Log
  ) throws(StartError) -> Proxy.Options {
    var result = Proxy.Options()
    result.signals = try SignalDescriptor()
    result.watch = watch
    result.confinement = confinement
    let options = options
    result.load = { () throws(Proxy.LoadFailure) in
      do throws(ConfigurationError) {
        let loaded = try options.load(isReload: true)
        for warning in loaded.warnings { log.warning("\(warning)") }
        return loaded.configuration
      } catch {
        throw Proxy.LoadFailure(lines: error.diagnostics.map(\.description))
      }
    }
    return result
  }
}

/// What a process that serves does before anything else.
enum ProcessSetup {
  static func prepare() {
    holdStandardStreams()
    WipingMemory.install()
    SignalDescriptor.blockSignals()
    // One heap for all threads: none of them allocates on its hot path, and each further arena would hold on to memory
    // of its own. What a scrape borrows goes back to the kernel when it is done. mallopt(3).
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, 65_536)
    mallopt(M_TRIM_THRESHOLD, 65_536)
  }

  /// Whoever starts us without standard streams gets /dev/null in their place: else the next descriptors that are opened would
  /// be them, and lines of the log would go into a client's socket.
  private static func holdStandardStreams() {
    var descriptor: Int32
    repeat { descriptor = open("/dev/null", O_RDWR) } while 0...STDERR_FILENO ~= descriptor
    if descriptor > STDERR_FILENO { close(descriptor) }
  }

  /// Gives the code back that only the start needed: reading arguments, YAML and the set-up of all that is running now.
  static func releaseStartupPages() {
    malloc_trim(0)
    sidecar_release_code_pages()
  }
}
