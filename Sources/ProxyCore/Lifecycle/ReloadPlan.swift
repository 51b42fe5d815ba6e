// What a new configuration changes about a running proxy, worked out without doing any of it. The control thread
// carries it out; a test compares plans.

/// A listener that the workers accept on.
struct ActiveListener: Sendable, Equatable {
  var id: ListenerID
  var listener: Configuration.Listener
}

/// The difference between the running configuration and a new one.
struct ReloadPlan: Equatable {
  /// To bind, all or none, before anything else changes.
  var added: [Configuration.Listener] = []
  /// Same name, address and direction, new rules.
  var updated: [ActiveListener] = []
  var removed: [ActiveListener] = []
  /// Timeouts for new connections.
  var changesTimeouts = false
  /// Key paths whose new values only a restart brings into effect; the running values stay.
  var needsRestart: [String] = []

  /// A listener is the same one as long as its name, address and direction are: its socket and its counters stay.
  init(active: [ActiveListener], running: Configuration, new: Configuration) {
    for listener in new.listeners {
      guard let current = active.first(where: { $0.listener.isSameListener(as: listener) }) else {
        added.append(listener)
        continue
      }
      if current.listener != listener { updated.append(ActiveListener(id: current.id, listener: listener)) }
    }
    removed = active.filter { current in !new.listeners.contains { $0.isSameListener(as: current.listener) } }
    changesTimeouts = running.timeouts != new.timeouts

    if running.workers != new.workers { needsRestart.append("workers") }
    if running.engine != new.engine { needsRestart.append("engine") }
    if running.confinement != new.confinement { needsRestart.append("confinement") }
    if running.admin != new.admin { needsRestart.append("admin") }
    if running.metrics != new.metrics { needsRestart.append("metrics.bind") }
    if (running.accessLog.format == .off) != (new.accessLog.format == .off) { needsRestart.append("accessLog.format") }
  }

  /// The new configuration as it takes effect: what needs a restart keeps its running value.
  func effective(running: Configuration, new: Configuration) -> Configuration {
    var effective = new
    effective.workers = running.workers
    effective.engine = running.engine
    effective.confinement = running.confinement
    effective.admin = running.admin
    effective.metrics = running.metrics
    if needsRestart.contains("accessLog.format") { effective.accessLog = running.accessLog }
    return effective
  }
}

extension Configuration.Listener {
  fileprivate func isSameListener(as other: Configuration.Listener) -> Bool {
    name == other.name && bind == other.bind && direction == other.direction
  }
}
