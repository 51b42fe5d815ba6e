// What a new configuration changes about a running proxy, worked out without doing any of it. The control thread
// carries it out; a test compares plans.

/// A listener that the workers accept on.
struct ActiveListener: Sendable, Equatable {
  var id: ListenerID
  var listener: Configuration.Listener
}

/// A listener that a reload has removed. The workers close its sockets in a moment, and don't say when they have.
struct LeavingListener: Sendable {
  var listener: ActiveListener
  /// Until then its address may not be free: monotonic nanoseconds.
  let until: UInt64

  init(_ listener: ActiveListener, now: UInt64) {
    self.listener = listener
    until = now + Self.closingNanoseconds
  }

  /// Far longer than the workers take. Too long does little harm: who wants the address meanwhile is only not told of a
  /// stranger that shares the port (`ListenerSockets.open`).
  private static let closingNanoseconds: UInt64 = 5_000_000_000
}

/// The difference between the running configuration and a new one.
struct ReloadPlan: Equatable {
  /// To bind, all or none, before anything else changes.
  var added: [Configuration.Listener] = []
  /// Same name, address and direction, new rules.
  var updated: [ActiveListener] = []
  var removed: [ActiveListener] = []
  /// Those of the removed ones, by this reload or by one shortly before, whose address an added one takes.
  var displaced: [ListenerID] = []
  /// Key paths whose new values only a restart brings into effect; the running values stay.
  var needsRestart: [String] = []

  /// A listener is the same one as long as its name, address and direction are: its socket and its counters stay.
  ///
  /// - Parameter leaving: listeners that were removed before and may not have closed yet.
  init(active: [ActiveListener], leaving: [ActiveListener] = [], running: Configuration, new: Configuration) {
    for listener in new.listeners {
      guard let current = active.first(where: { $0.listener.isSameListener(as: listener) }) else {
        added.append(listener)
        continue
      }
      if current.listener != listener { updated.append(ActiveListener(id: current.id, listener: listener)) }
    }
    removed = active.filter { current in !new.listeners.contains { $0.isSameListener(as: current.listener) } }
    displaced = (removed + leaving).filter { gone in added.contains { $0.bind.overlaps(gone.listener.bind) } }.map(\.id)

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
