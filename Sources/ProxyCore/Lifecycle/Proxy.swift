// The running proxy as one value: what the command line starts, what the admin endpoints ask, what the demo embeds.
//
// Files: this one sets everything up and takes it down; `Proxy+Control.swift` is the control thread;
// `Proxy+Reload.swift` applies a new configuration, `Proxy+Identity.swift` new certificates; `Proxy+Observation.swift`
// answers questions.

import Glibc
import IOUring
import Metrics
import Synchronization

/// Workers, listeners, logs and the control over them. Safe from any thread; `run` takes one over.
public final class Proxy: Sendable {
  /// What the command line knows and the configuration doesn't.
  public struct Options: Sendable {
    /// Tells of changes to the configuration file; nil: only SIGHUP reloads. The proxy closes it at the end of `run`.
    public var watch: FileWatch?
    /// Loads the configuration anew, with the environment and the flags of the start.
    public var load: (@Sendable () throws(LoadFailure) -> Configuration)?
    /// Who the proxy is, in place of the configuration's files.
    public var identity: TLSContext?
    /// The signals that `run` obeys, if any; the proxy closes it at the end of `run`. `SignalDescriptor.blockSignals`
    /// comes first.
    public var signals: SignalDescriptor?
    /// What the process has given up before: a reload can't have it back.
    public var confinement: Confinement?

    public init() {}
  }

  /// A configuration that can't be used: one line per mistake.
  public struct LoadFailure: Error, Sendable {
    public var lines: [String]
    /// When the identity begins to be valid, in Unix seconds, if that is what is wrong with it.
    var validFrom: Int64?

    public init(lines: [String]) { self.lines = lines }
  }

  /// How a proxy ended.
  public enum Outcome: Sendable {
    case drained
    /// Workers didn't leave in time after everything was closed.
    case abandoned
  }

  // What never changes.
  public let engine: Engine
  public let log: Log
  public let directory: ListenerDirectory
  let options: Options
  let workers: [WorkerHandle]
  let budget: ConnectionBudget
  let accessLog: AccessLogWriter?
  let resolver: Resolver
  /// The control thread sleeps on this; notified by workers, by the resolver and by `request`.
  let wake: Descriptor
  /// RLIMIT_NOFILE, raised to its hard limit.
  let descriptorLimit: Int

  /// What the control thread changes and others read.
  let state: Mutex<State>

  /// One worker and the ends that the process holds of it.
  struct WorkerHandle: Sendable {
    var thread: WorkerThread
    var mailbox: Mailbox
    var metrics: MetricBlock
  }

  struct State {
    /// What is in effect; follows reloads.
    var configuration: Configuration
    var active: [ActiveListener]
    var leaving: [LeavingListener] = []
    var drain: DrainMachine
    var identity: IdentityState
    /// Watches the identity's files until `run` takes it over.
    var identityWatch: FileWatch?
    /// Addresses as they were last handed to the workers.
    var resolved: [HostPort: Resolver.Resolution] = [:]
    /// `limits.connections` as far as the limit on open files allows.
    var connectionLimit: Int
    var requests: [Request] = []
    var reloads = ReloadCounts()
  }

  enum Request: Sendable {
    case drain, shutdown, interrupt
    case reload
  }

  struct ReloadCounts: Sendable {
    var succeeded: UInt64 = 0
    var failed: UInt64 = 0
    var lastSucceeded = true
    /// When a configuration last took effect, in nanoseconds since 1970; the start counts.
    var lastSuccessAt: UInt64
    init() { lastSuccessAt = Clocks.wallNanoseconds }
  }

  /// Loads the identity, binds all listeners, starts the access log, the resolver and the workers. From here on
  /// connections are served; `run` must follow, or nobody drains.
  ///
  /// - Throws: what was refused, where, and how to mend it, one line each. Nothing is left running.
  public init(_ configuration: Configuration, options: Options = Options(), log: Log) throws(StartError) {
    self.options = options
    self.log = log
    let identity = try Proxy.firstIdentity(configuration, options, log)
    var choice: EngineChoice
    do throws(RingError) {
      choice = try Engine.select(configuration.engine)
    } catch {
      identity.watch?.close()
      throw StartError("\(error)")
    }
    descriptorLimit = DescriptorBudget.raiseLimit()
    let workerCount = configuration.workerCount
    let limit: Int
    directory = ListenerDirectory()

    var sockets: [[Descriptor]] = []
    var active: [ActiveListener] = []
    do throws(StartError) {
      let descriptors = Proxy.descriptors(configuration, workers: workerCount, limit: descriptorLimit)
      if let obstacle = descriptors.obstacle { throw StartError(obstacle) }
      do throws(RingError) {
        try WorkerMemory.check(workers: workerCount, slots: descriptors.slotsPerWorker)
      } catch {
        throw StartError("\(error)")
      }
      for listener in configuration.listeners {
        let opened = try ListenerSockets.open(listener, workers: workerCount)
        sockets.append(opened.descriptors)
        var listener = listener
        listener.bind = opened.address
        guard let id = directory.add(listener) else {
          throw StartError("more than \(WorkerMetrics.listenersMax) listeners; merge some of them")
        }
        active.append(ActiveListener(id: id, listener: listener))
      }
      let settings: WorkerSettings
      (limit, settings) = Proxy.limits(configuration, workers: workerCount, descriptorLimit: descriptorLimit)
      Proxy.warn(ofLimit: limit, configuration, descriptorLimit, log)
      wake = try Proxy.eventDescriptor()
      accessLog =
        configuration.accessLog.format == .off
        ? nil
        : try AccessLogWriter(configuration.accessLog, workers: workerCount, directory: directory, log: log)
      do throws(KernelError) { resolver = try Resolver(changed: wake) } catch { throw Proxy.noDescriptor }
      let links = try Proxy.links(
        workers: workerCount, slots: descriptors.slotsPerWorker, limit: limit, accessLog: accessLog, wake: wake)
      budget = links[0].budget
      do throws(StartError) {
        workers = try Proxy.startWorkers(links, &choice, wish: configuration.engine, settings: settings)
      } catch {
        accessLog?.finish()
        for link in links {
          close(link.mailbox.wakeDescriptor.rawValue)
          link.metrics.deallocate()
        }
        close(wake.rawValue)
        throw error
      }
      engine = choice.engine
      if let reason = choice.fallbackReason {
        log.warning("engine auto goes on with \(engine.rawValue): \(reason)")
      }
    } catch {
      identity.watch?.close()
      for descriptor in sockets.joined() { close(descriptor.rawValue) }
      throw error
    }
    var configuration = configuration
    configuration.listeners = active.map(\.listener)
    state = Mutex(
      State(
        configuration: configuration, active: active, drain: DrainMachine(configuration.drain),
        identity: IdentityState(context: identity.context), identityWatch: identity.watch, connectionLimit: limit))

    // Ahead of the listeners: no connection may find a worker that doesn't know who it is.
    if let context = identity.context { post(.updateIdentity(context)) }
    resolveFirst()
    for (listener, sockets) in zip(active, sockets) { hand(sockets, of: listener) }
    log.info(
      "serving with \(workers.count) worker\(workers.count == 1 ? "" : "s") on \(engine.rawValue): "
        + active.map { "\($0.listener.name) \($0.listener.bind) → \($0.listener.target)" }.joined(separator: ", "))
  }

  deinit {
    // Workers that are still there keep what they write to, until the process ends with them: the endpoints could not be
    // bound, or a worker has missed the end.
    guard workers.allSatisfy({ $0.thread.hasEnded }) else { return }
    close(wake.rawValue)
    for worker in workers {
      close(worker.mailbox.wakeDescriptor.rawValue)
      worker.metrics.deallocate()
    }
  }

  // MARK: Requests from other threads

  /// As SIGTERM: drain, then end. The second time: end at once.
  public func shutDown() { request(.shutdown) }

  /// As SIGINT: close everything and end.
  public func interrupt() { request(.interrupt) }

  /// Drains and stays, unready, until `shutDown`.
  public func drain() { request(.drain) }

  /// As a changed file.
  public func reload() { request(.reload) }

  private func request(_ request: Request) {
    state.withLock { $0.requests.append(request) }
    EventDescriptor.notify(wake)
  }

  /// Tells all workers.
  func post(_ command: WorkerCommand) {
    for worker in workers { worker.mailbox.post(command) }
  }

  // MARK: Set-up

  /// Gives each worker its socket of a listener.
  func hand(_ sockets: [Descriptor], of active: ActiveListener) {
    let plan = plan(for: active.listener)
    for (worker, socket) in zip(workers, sockets) {
      worker.mailbox.post(.addListener(active.id, socket, plan))
    }
  }

  func plan(for listener: Configuration.Listener) -> ListenerPlan {
    let destination: ListenerPlan.Destination
    switch listener.target {
    case .address(let address): destination = .addresses([TargetAddress(address)])
    case .unix(let path): destination = .addresses(TargetAddress(unixPath: path).map { [$0] } ?? [])
    case .originalDestination: destination = .original
    case .name(let name):
      destination = .addresses((resolver.resolution(of: name)?.addresses ?? []).map(TargetAddress.init(_:)))
    }
    return ListenerPlan(listener, destination: destination)
  }

  /// How long a start or a reload waits for names, so that the first connections find an address: a healthy name server answers
  /// within milliseconds, and a dead one must not hold up what doesn't need it.
  private static let firstResolutionNanoseconds: UInt64 = 1_000_000_000

  private func resolveFirst() {
    let names = state.withLock { $0.configuration.targetNames }
    guard !names.isEmpty else { return }
    resolver.watch(names)
    awaitNames()
    noteResolutions()
  }

  /// Gives names that were never tried a moment to be resolved.
  func awaitNames() {
    let deadline = Clocks.monotonicNanoseconds + Self.firstResolutionNanoseconds
    while !resolver.pending.isEmpty {
      let now = Clocks.monotonicNanoseconds
      guard now < deadline else { break }
      var poll = pollfd(fd: wake.rawValue, events: Int16(POLLIN), revents: 0)
      _ = Glibc.poll(&poll, 1, Clocks.pollTimeout(until: deadline, now: now))
      EventDescriptor.acknowledge(wake)
    }
    for name in resolver.pending {
      log.warning("target \(name): still being resolved; connections to it fail until then")
    }
    // What else has woken this thread in the meantime is still to be looked at.
    EventDescriptor.notify(wake)
  }

  /// What of `limits.connections` the limit on open files allows, and what the workers go by: they share the pipes for which
  /// there is room beside so many connections.
  static func limits(
    _ configuration: Configuration, workers: Int, descriptorLimit: Int
  ) -> (connections: Int, settings: WorkerSettings) {
    let budget = descriptors(configuration, workers: workers, limit: descriptorLimit)
    let connections = min(configuration.limits.connections, budget.connectionsMax)
    var settings = WorkerSettings(configuration.timeouts)
    settings.pipesMax = budget.pipesMax(beside: connections) / workers
    return (connections, settings)
  }

  private static func descriptors(_ configuration: Configuration, workers: Int, limit: Int) -> DescriptorBudget {
    DescriptorBudget(limit: limit, workers: workers, listeners: configuration.listeners.count)
  }

  static func warn(ofLimit limit: Int, _ configuration: Configuration, _ descriptorLimit: Int, _ log: Log) {
    let wanted = configuration.limits.connections
    guard limit < wanted else { return }
    log.warning(
      "limits.connections: \(wanted) don't fit into \(descriptorLimit) open files, two for each, and the workers; "
        + "using \(limit); raise the hard limit (ulimit -Hn), or the number of workers, to get more")
  }

  private static func links(
    workers: Int, slots: Int, limit: Int, accessLog: AccessLogWriter?, wake: Descriptor
  ) throws(StartError) -> [WorkerLinks] {
    var mailboxes: [Mailbox] = []
    for _ in 0..<workers { mailboxes.append(Mailbox(wakeDescriptor: try eventDescriptor())) }
    let budget = ConnectionBudget(limit: limit, workerWakes: mailboxes.map(\.wakeDescriptor))
    return mailboxes.enumerated().map { index, mailbox in
      WorkerLinks(
        index: index, mailbox: mailbox, metrics: WorkerMetrics.allocate(), accessLog: accessLog?.queues[index],
        budget: budget, controlWake: wake, slotsMax: slots)
    }
  }

  /// Starts all workers, or none. One ring that could be made says nothing of as many as there are workers: from Linux 6.14 on they
  /// count as locked memory, whose limit is the user's, over all processes. With `auto` they run on epoll then.
  private static func startWorkers(
    _ links: [WorkerLinks], _ choice: inout EngineChoice, wish: Configuration.Engine, settings: WorkerSettings
  ) throws(StartError) -> [WorkerHandle] {
    var workers: [WorkerHandle] = []
    while true {
      do throws(RingError) {
        for link in links {
          let thread = try WorkerThread.start(engine: choice.engine, links: link, settings: settings)
          workers.append(WorkerHandle(thread: thread, mailbox: link.mailbox, metrics: link.metrics))
        }
        return workers
      } catch {
        for worker in workers {
          worker.mailbox.post(.stop)
          worker.thread.join()
        }
        guard wish == .auto, choice.engine == .ioUring else { throw StartError("worker \(workers.count): \(error)") }
        choice = EngineChoice(engine: .epoll, fallbackReason: error)
        workers = []
      }
    }
  }

  private static let noDescriptor = StartError("no descriptor is left; raise the limit on open files (ulimit -n)")

  private static func eventDescriptor() throws(StartError) -> Descriptor {
    do throws(KernelError) { return try EventDescriptor.make() } catch { throw noDescriptor }
  }
}

extension Configuration {
  /// `workers`, with `auto` resolved on this host.
  public var workerCount: Int {
    switch workers {
    case .auto: CPUBudget.read().workers
    case .count(let count): count
    }
  }

  /// The names to resolve.
  var targetNames: Set<HostPort> {
    Set(
      listeners.compactMap { listener in
        if case .name(let name) = listener.target { name } else { nil }
      })
  }
}
