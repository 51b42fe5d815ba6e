// A new configuration for a running proxy, without dropping a connection: everything that can be refused is tried
// before anything changes. Runs on the control thread.

import Glibc
import IOUring

extension Proxy {
  /// Loads the configuration again and applies it; a bad one is logged and counted, and the running one stays.
  func performReload(_ watches: inout Watches) {
    guard let load = options.load else { return }
    do throws(LoadFailure) {
      try apply(try load(), &watches)
      log.info("configuration reloaded")
      state.withLock { state in
        state.reloads.succeeded += 1
        state.reloads.lastSucceeded = true
        state.reloads.lastSuccessAt = Clocks.wallNanoseconds
      }
    } catch {
      for line in error.lines { log.error(line) }
      log.error("configuration refused; the running one stays")
      state.withLock { state in
        state.reloads.failed += 1
        state.reloads.lastSucceeded = false
      }
    }
  }

  private func apply(_ new: Configuration, _ watches: inout Watches) throws(LoadFailure) {
    let (running, active, isServing) = state.withLock { ($0.configuration, $0.active, $0.drain.phase == .serving) }
    guard isServing else { throw LoadFailure(lines: ["the proxy is draining; a new configuration comes too late"]) }
    let now = Clocks.monotonicNanoseconds
    let leaving = state.withLock { $0.leaving }.filter { $0.until > now }
    let plan = ReloadPlan(active: active, leaving: leaving.map(\.listener), running: running, new: new)
    let effective = plan.effective(running: running, new: new)
    let violations = options.confinement?.violations(by: effective) ?? []
    guard violations.isEmpty else { throw LoadFailure(lines: violations) }
    let replacement = try otherIdentity(new.identity, than: running.identity)
    let opened: [(listener: ActiveListener, sockets: [Descriptor])]
    do throws(LoadFailure) {
      opened = try open(plan.added, beside: active + leaving.map(\.listener))
    } catch {
      replacement?.watch?.close()
      throw error
    }
    if let replacement { replace(with: replacement, &watches) }

    if !plan.needsRestart.isEmpty {
      log.warning("changed, but in effect only after a restart: \(plan.needsRestart.joined(separator: ", "))")
    }
    let (limit, settings) = Proxy.limits(effective, workers: workers.count, descriptorLimit: descriptorLimit)
    if effective.limits != running.limits { Proxy.warn(ofLimit: limit, effective, descriptorLimit, log) }
    budget.setLimit(limit)
    post(.updateSettings(settings))
    log.setLevel(effective.log.level)
    log.setFormat(effective.log.format)
    if effective.accessLog != running.accessLog { accessLog?.reopen(effective.accessLog) }
    resolver.watch(effective.targetNames)
    awaitNames()

    for (listener, sockets) in opened { hand(sockets, of: listener) }
    for listener in plan.updated {
      directory.update(listener.id, to: listener.listener)
      post(.updateListener(listener.id, self.plan(for: listener.listener)))
    }
    for listener in plan.removed {
      directory.remove(listener.id)
      post(.removeListener(listener.id))
    }
    for listener in plan.displaced { post(.closeListener(listener)) }
    var next = active.filter { current in !plan.removed.contains { $0.id == current.id } }
    for listener in plan.updated {
      if let index = next.firstIndex(where: { $0.id == listener.id }) { next[index] = listener }
    }
    next += opened.map(\.listener)
    state.withLock { state in
      state.configuration = effective
      // A name that comes back later is new to the workers, even if its addresses are the old ones.
      state.resolved = state.resolved.filter { effective.targetNames.contains($0.key) }
      state.active = next
      state.leaving = leaving + plan.removed.map { LeavingListener($0, now: now) }
      state.connectionLimit = limit
      // A drain that is yet to begin goes by the new times.
      state.drain = DrainMachine(effective.drain)
    }
  }

  /// The identity of a new configuration, loaded but not yet in use.
  /// - Returns: nil when the files are the same ones; their contents are the present watch's business.
  private func otherIdentity(
    _ new: Configuration.Identity?, than running: Configuration.Identity?
  ) throws(LoadFailure) -> FollowedIdentity? {
    guard new != running else { return nil }
    guard let new else { return FollowedIdentity() }
    return try Proxy.followIdentity(new, replacing: identity, log)
  }

  /// Ahead of the listeners, which may use it at once.
  private func replace(with replacement: FollowedIdentity, _ watches: inout Watches) {
    watches.identity?.close()
    watches.identity = replacement.watch
    if let context = replacement.context { adopt(context, &watches) } else { dropIdentity(&watches) }
  }

  /// Binds all new listeners or none.
  private func open(
    _ added: [Configuration.Listener], beside own: [ActiveListener]
  ) throws(LoadFailure) -> [(listener: ActiveListener, sockets: [Descriptor])] {
    guard added.count <= directory.capacityLeft else {
      throw LoadFailure(lines: [
        "more than \(WorkerMetrics.listenersMax) listeners since the start, reloads included; restart the proxy"
      ])
    }
    var opened: [(Configuration.Listener, [Descriptor])] = []
    do throws(StartError) {
      for listener in added {
        let sockets = try ListenerSockets.open(
          listener, workers: workers.count, held: own.map(\.listener.bind))
        opened.append((listener, sockets.descriptors))
      }
    } catch {
      for descriptor in opened.map(\.1).joined() { close(descriptor.rawValue) }
      throw LoadFailure(lines: ["\(error)"])
    }
    return opened.map { listener, sockets in
      // There is room: it was asked for above, and only this thread adds.
      guard let id = directory.add(listener) else { preconditionFailure("the listener directory is full") }
      return (ActiveListener(id: id, listener: listener), sockets)
    }
  }

  // MARK: Names

  /// Hands changed addresses to the workers. Called whenever the resolver may have news.
  func applyResolutions() {
    let changed = noteResolutions()
    guard !changed.isEmpty else { return }
    for active in state.withLock({ $0.active }) {
      guard case .name(let name) = active.listener.target, changed.contains(name) else { continue }
      post(.updateListener(active.id, plan(for: active.listener)))
    }
  }

  /// Logs what is new about the names.
  /// - Returns: the names whose addresses changed.
  @discardableResult
  func noteResolutions() -> Set<HostPort> {
    let names = state.withLock { $0.configuration.targetNames }
    var changed: Set<HostPort> = []
    for name in names {
      guard let resolution = resolver.resolution(of: name), resolution.attempts > 0 else { continue }
      let before = state.withLock { state in
        defer { state.resolved[name] = resolution }
        return state.resolved[name]
      }
      if before?.addresses ?? [] != resolution.addresses {
        changed.insert(name)
        log.info("target \(name): \(resolution.addresses.map(\.description).joined(separator: ", "))")
      }
      if let failure = resolution.failure, before?.failure != failure {
        let consequence =
          resolution.addresses.isEmpty ? "connections to it fail until it resolves" : "keeping its addresses"
        log.warning("target \(name): can't resolve: \(failure); \(consequence)")
      }
    }
    return changed
  }
}
