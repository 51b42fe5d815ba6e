// From a listening socket to a connection slot.

import Glibc
import IOUring

extension Worker where K: ~Copyable {
  /// As many connections may wait in one listening socket's queue: a multishot accept can bring them all at once, so
  /// that it is armed only while the limit is further away than that.
  private static var backlogMax: Int { 4_096 }
  /// Connections taken per poll near the limit, so that a burst of new ones doesn't hold up established ones.
  private static var acceptsPerTurn: Int { 32 }

  // MARK: Opening and closing listeners

  mutating func addListener(_ id: ListenerID, _ descriptor: Descriptor, _ plan: ListenerPlan) {
    listeners[id] = Listener(descriptor: descriptor, plan: plan)
    armAccept(id)
  }

  /// Stops accepting, since the process ends or the configuration no longer has this listener. Closing a listening socket
  /// resets the connections in its queue and those on their way there, whose clients believe that they are connected: so
  /// the queue is closed to new ones first, and emptied for a moment. A client that comes in between hears nothing, tries
  /// again after a second (RFC 6298) and is refused by then.
  mutating func emptyListener(_ id: ListenerID) {
    guard let listener = listeners[id], listener.phase == .open else { return }
    kernel.stopQueueing(listener.descriptor)
    let closesAt = kernel.now &+ ListenerTable.emptyingTime
    listeners[id]?.phase = .emptying(until: closesAt)
    listenersCloseAt = min(listenersCloseAt, closesAt)
  }

  /// Closes the listeners whose queues have been emptied for long enough by `time`; `.max` closes them all.
  mutating func closeEmptiedListeners(by time: UInt64) {
    listenersCloseAt = .max
    for id in listeners.emptying {
      guard let listener = listeners[id], case .emptying(let closesAt) = listener.phase else { continue }
      if closesAt > time {
        listenersCloseAt = min(listenersCloseAt, closesAt)
      } else {
        beginClosing(id, listener)
      }
    }
  }

  /// Closes a listener without emptying it for a moment, or ends that moment, since another listener takes its address: the
  /// kernel spreads clients over both (SO_REUSEPORT), and those that it sends to the closed queue would hear nothing for a
  /// second. What is in the queue is taken all the same.
  mutating func closeListener(_ id: ListenerID) {
    guard let listener = listeners[id], listener.phase != .closing else { return }
    if listener.phase == .open { kernel.stopQueueing(listener.descriptor) }
    beginClosing(id, listener)
  }

  private mutating func beginClosing(_ id: ListenerID, _ listener: Listener) {
    listeners[id]?.phase = .closing
    if listener.waiting == .nothing { finishRemoving(id) } else { cancelAccept(id, listener) }
  }

  private mutating func finishRemoving(_ id: ListenerID) {
    guard let listener = listeners[id] else { return }
    while true {
      let accepted = kernel.acceptNow(listener.descriptor)
      guard accepted >= 0 else { break }
      links.budget.reserveBeyondLimit()
      openConnection(id, Descriptor(rawValue: accepted))
    }
    kernel.close(listener.descriptor)
    // Its rules stay for the connections that have not reached their upstream yet.
    listeners[id]?.descriptor = .none
  }

  // MARK: Accepting

  private mutating func cancelAccept(_ id: ListenerID, _ listener: Listener) {
    kernel.submitCancel(acceptToken(id), on: listener.descriptor)
  }

  private func acceptToken(_ id: ListenerID) -> Token {
    Token(slot: UInt32(id.rawValue), generation: 0, operation: .accept)
  }

  private mutating func armAccept(_ id: ListenerID) {
    guard let listener = listeners[id], listener.phase != .closing, listener.waiting == .nothing else { return }
    // A multishot accept takes a whole backlog before one upstream socket is opened. While descriptors are short,
    // connections are taken one by one instead, so that each finds a descriptor for its upstream or stays where it is.
    if !limitIsNear && acceptRetryDelay == AcceptBackOff.delayMin {
      listeners[id]?.waiting = .accept
      kernel.submitAccept(listener.descriptor, multishot: true, token: acceptToken(id))
    } else if links.budget.available > 0 {
      listeners[id]?.waiting = .poll
      kernel.submitPoll(listener.descriptor, for: .readable, token: acceptToken(id))
    } else {
      waitForBudget()
    }
  }

  mutating func acceptCompleted(_ completion: Completion) {
    let id = ListenerID(rawValue: Int(completion.token.slot))
    guard let listener = listeners[id] else { return }
    if completion.isFinal { listeners[id]?.waiting = .nothing }

    switch listener.waiting {
    case .accept where completion.result >= 0:
      // Rarely beyond the limit: several listeners can each bring a backlog in one turn. Refusing a connection that the
      // kernel has accepted would lose it.
      links.budget.reserveBeyondLimit()
      openConnection(id, Descriptor(rawValue: completion.result))
    case .accept:
      acceptFailed(-completion.result)
    case .poll:
      acceptWaiting(id, listener.descriptor)
    case .nothing:
      break
    }
    // Near the limit a multishot accept gives way to a poll.
    if !completion.isFinal, limitIsNear { cancelAccept(id, listener) }
    if completion.isFinal {
      if listener.phase == .closing { finishRemoving(id) } else if acceptRetryAt == .max { armAccept(id) }
    }
  }

  /// Whether fewer permits are left than all workers' multishot accepts could take at once.
  private var limitIsNear: Bool { links.budget.available <= Self.backlogMax * links.budget.workerCount }

  /// The limit may have come near without a connection.
  mutating func limitChanged() {
    if limitIsNear { cancelAccepts() }
  }

  private mutating func cancelAccepts() {
    for id in listeners.accepting {
      if let listener = listeners[id], listener.waiting == .accept { cancelAccept(id, listener) }
    }
  }

  /// Takes the connections that a poll has announced, as far as permits and fairness allow.
  private mutating func acceptWaiting(_ id: ListenerID, _ descriptor: Descriptor) {
    for _ in 0..<Self.acceptsPerTurn {
      guard acceptRetryAt == .max, links.budget.reserve() else { return }
      let accepted = kernel.acceptNow(descriptor)
      guard accepted >= 0 else {
        links.budget.release()
        acceptFailed(-accepted)
        return
      }
      openConnection(id, Descriptor(rawValue: accepted))
    }
  }

  private mutating func acceptFailed(_ error: Int32) {
    switch error {
    case EMFILE, ENFILE, ENOBUFS, ENOMEM:
      pauseAccepting()
    default:
      // The client gave up while it waited, or the listener is being closed.
      break
    }
  }

  // MARK: Pausing

  /// Descriptors ran out, for an accepted connection or for its upstream: what waits in the listening sockets stays
  /// there for a while, where it is safe, in place of being accepted and reset.
  mutating func pauseAccepting() {
    // Everything that fails in the same turn is one shortage.
    guard acceptRetryAt == .max else { return }
    metrics.add(WorkerMetrics.Cell.acceptPausedByDescriptors.rawValue)
    acceptRetryAt = kernel.now &+ acceptRetryDelay
    acceptRetryDelay = min(acceptRetryDelay &* 2, AcceptBackOff.delayMax)
    cancelAccepts()
  }

  private mutating func waitForBudget() {
    if !acceptWaitsForBudget {
      acceptWaitsForBudget = true
      links.budget.beginWaiting()
      metrics.add(WorkerMetrics.Cell.acceptPausedByLimit.rawValue)
      // A permit that came back between the look and the announcement woke nobody.
      if links.budget.available > 0 { retryAccepting() }
    }
  }

  /// Arms every listener that is paused.
  mutating func retryAccepting() {
    acceptRetryAt = .max
    if acceptWaitsForBudget {
      acceptWaitsForBudget = false
      links.budget.endWaiting()
    }
    for id in listeners.accepting { armAccept(id) }
  }

  // MARK: A new connection

  private mutating func openConnection(_ id: ListenerID, _ downstream: Descriptor) {
    if listeners[id]?.phase != .open { kernel.hearAgain(downstream) }
    // Somebody who took the proxy for empty has to look again.
    if isDraining, reasonToCloseArrivals == nil { kernel.notify(links.controlWake) }
    guard let slot = connections.take() else {
      // A FIN would look like an empty answer.
      kernel.resetOnClose(downstream)
      kernel.close(downstream)
      links.budget.release()
      return
    }
    let connection = connections[slot]
    let generation = connection.pointee.generation
    connection.initialize(
      to: Connection(
        generation: generation, listener: id, downstream: downstream,
        downstreamAddress: readAddress { kernel.peerAddress(downstream, into: $0) }?.unmapped, now: kernel.now))
    if let reason = reasonToCloseArrivals {
      close(slot, connection, reason)
    } else {
      admit(slot, connection, listeners[id]?.plan.tls ?? .strict)
    }
  }

  /// The first step of a new connection depends on who may speak on its listener.
  private mutating func admit(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ tls: Configuration.Listener.TLS
  ) {
    switch tls {
    case .strict:
      settle(connection, .mutual)
      beginInboundHandshake(slot, connection)
    case .permissive:
      beginDetection(slot, connection)
    case .off:
      // An outbound connection is settled when its destination is known.
      connectUpstream(slot, connection)
    }
  }

  /// From here on the connection counts as encrypted, or as clear.
  func settle(_ connection: UnsafeMutablePointer<Connection>, _ encryption: WorkerMetrics.Encryption) {
    guard !connection.pointee.isSettled else { return }
    let listener = Int(connection.pointee.listener)
    connection.pointee.isSettled = true
    connection.pointee.encryption = encryption
    connection.pointee.series = WorkerMetrics.series(listener: listener, encryption: encryption)
    metrics.add(connection.pointee.series + WorkerMetrics.SeriesCell.opened.rawValue)
  }
}

/// Reads an address that a kernel call writes; nil when the call fails or the address is not an IP address.
func readAddress(_ read: (UnsafeMutableRawBufferPointer) -> Int32) -> SocketAddress? {
  var storage = sockaddr_storage()
  let result = withUnsafeMutableBytes(of: &storage, read)
  return result == 0 ? SocketAddress(storage: storage) : nil
}
