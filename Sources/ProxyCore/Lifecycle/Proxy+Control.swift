// The control thread: sleeps until a signal, a changed file, a request or a worker's news, and otherwise until the
// next deadline. It has no period: an idle proxy doesn't wake up.

import Glibc
import IOUring

extension Proxy {
  /// Serves until the end. The calling thread becomes the control thread.
  public func run() -> Outcome {
    let signals = options.signals
    var watches = Watches(configuration: options.watch)
    state.withLock { swap(&watches.identity, &$0.identityWatch) }
    watches.expiry = identity.flatMap { CertificateExpiry($0.chain) }
    defer {
      if let signals { close(signals.rawValue) }
      watches.configuration?.close()
      watches.identity?.close()
    }
    while true {
      sleep(signals, watches)
      let now = Clocks.monotonicNanoseconds
      while let signal = signals?.next() { handle(signal, &watches, now: now) }
      lookAtFiles(&watches, now: now)
      for request in takeRequests() { handle(request, &watches, now: now) }
      applyResolutions()
      noteExpiry(&watches)
      watches.heap.run(now: now)
      advance(now: now)
      if state.withLock({ $0.drain.phase }) == .ended { return finish() }
    }
  }

  /// What the control thread keeps an eye on; nobody else touches it.
  struct Watches {
    var configuration: FileWatch?
    var identity: FileWatch?
    var patience = ReloadPatience()
    /// Nil without an identity.
    var expiry: CertificateExpiry?
    var heap = HeapTrim()

    /// When one of them wants to be asked, in monotonic nanoseconds.
    fileprivate func deadline(now: UInt64) -> UInt64? {
      let expiryDeadline = expiry?.nextAt.map { Clocks.monotonicNanoseconds(at: $0, now: now) }
      return [configuration?.deadline, identity?.deadline, patience.deadline, expiryDeadline, heap.dueAt]
        .compactMap { $0 }.min()
    }
  }

  private func sleep(_ signals: SignalDescriptor?, _ watches: Watches) {
    let now = Clocks.monotonicNanoseconds
    let drainDeadline = state.withLock { $0.drain.nextDeadline(now: now) }
    let deadline = [drainDeadline, watches.deadline(now: now)].compactMap { $0 }.min()
    let descriptors = [
      wake.rawValue, signals?.rawValue, watches.configuration?.descriptor, watches.identity?.descriptor,
    ]
    // poll(2) skips negative descriptors.
    var polls = descriptors.map { pollfd(fd: $0 ?? -1, events: Int16(POLLIN), revents: 0) }
    _ = poll(&polls, nfds_t(polls.count), Clocks.pollTimeout(until: deadline, now: now))
    EventDescriptor.acknowledge(wake)
  }

  private func lookAtFiles(_ watches: inout Watches, now: UInt64) {
    watches.configuration?.readEvents(now: now)
    watches.identity?.readEvents(now: now)
    if watches.configuration?.changed(now: now) == true { performReload(&watches) }
    if watches.identity?.changed(now: now) == true {
      reloadIdentity(&watches, now: now, isLastLook: false)
    } else if watches.patience.fire(now: now) {
      reloadIdentity(&watches, now: now, isLastLook: true)
    }
  }

  private func takeRequests() -> [Request] {
    state.withLock { state in
      defer { state.requests = [] }
      return state.requests
    }
  }

  private func handle(_ signal: Int32, _ watches: inout Watches, now: UInt64) {
    switch signal {
    case SIGTERM:
      handle(.shutdown, &watches, now: now)
    case SIGINT:
      handle(.interrupt, &watches, now: now)
    case SIGHUP:
      if let accessLog { accessLog.reopen(state.withLock { $0.configuration.accessLog }) }
      handle(.reload, &watches, now: now)
    default:
      break
    }
  }

  private func handle(_ request: Request, _ watches: inout Watches, now: UInt64) {
    switch request {
    case .reload:
      watches.configuration?.loaded()
      let identity = state.withLock { $0.configuration.identity }
      performReload(&watches)
      // Other files were loaded with the configuration that names them.
      guard identity == state.withLock({ $0.configuration.identity }) else { return }
      watches.identity?.loaded()
      reloadIdentity(&watches, now: now, isLastLook: true)
    case .drain:
      transition("drain requested") { $0.drain(now: now) }
    case .shutdown:
      transition("shutdown requested") { $0.terminate(now: now) }
    case .interrupt:
      transition("immediate end requested") { $0.interrupt(now: now) }
    }
  }

  private func advance(now: UInt64) {
    let connections = budget.usedCount
    let ended = workers.allSatisfy { $0.thread.hasEnded }
    transition(nil) { $0.advance(now: now, connections: connections, workersEnded: ended) }
  }

  private func transition(_ cause: String?, _ step: (inout DrainMachine) -> [DrainMachine.Action]) {
    let (before, after, actions) = state.withLock { state in
      let before = state.drain.phase
      let actions = step(&state.drain)
      return (before, state.drain.phase, actions)
    }
    if before != after || cause != nil {
      let explanation = cause.map { "\($0): " } ?? ""
      log.info("\(explanation)\(after.explanation); \(budget.usedCount) connections open")
    }
    for action in actions {
      switch action {
      case .stopAccepting: post(.stopAccepting)
      case .closeConnections(let reason): post(.closeConnections(reason))
      case .stopWorkers: post(.stop)
      }
    }
  }

  private func finish() -> Outcome {
    let ended = workers.allSatisfy { $0.thread.hasEnded }
    resolver.stop()
    accessLog?.finish()
    guard ended else {
      log.error("workers did not leave within \(DrainMachine.closingTimeout / 1_000_000_000) s; ending without them")
      return .abandoned
    }
    for worker in workers { worker.thread.join() }
    log.info("ended")
    return .drained
  }
}

extension DrainMachine.Phase {
  fileprivate var explanation: String {
    switch self {
    case .serving: "serving"
    case .grace: "unready, still accepting for drain.grace"
    case .draining: "no longer accepting, waiting for connections to end until drain.deadline"
    case .closing: "closing the connections that are left"
    case .drained: "drained, waiting for shutdown"
    case .ended: "all workers have left"
    }
  }
}
