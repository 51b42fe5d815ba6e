// What the control thread asks of a worker.

import IOUring

extension Worker where K: ~Copyable {
  mutating func submitMailPoll() {
    kernel.submitPoll(
      links.mailbox.wakeDescriptor, for: .readable, token: Token(slot: 0, generation: 0, operation: .mail))
  }

  mutating func mailArrived() {
    kernel.acknowledge(links.mailbox.wakeDescriptor)
    for command in links.mailbox.takeAll() { perform(command) }
    // The budget wakes its waiters through the mailbox's descriptor, without a command.
    if acceptWaitsForBudget { retryAccepting() }
    submitMailPoll()
  }

  private mutating func perform(_ command: WorkerCommand) {
    switch command {
    case .addListener(let listener, let descriptor, let plan):
      addListener(listener, descriptor, plan)
    case .updateListener(let listener, let plan):
      listeners[listener]?.plan = plan
    case .removeListener(let listener):
      emptyListener(listener)
    case .closeListener(let listener):
      closeListener(listener)
    case .updateSettings(let settings):
      self.settings = settings
      limitChanged()
    case .updateIdentity(let context):
      identity = context
    case .stopAccepting:
      isDraining = true
      for listener in listeners.accepting { emptyListener(listener) }
      // The last connection may have ended before this was said.
      if connections.usedCount == 0 { kernel.notify(links.controlWake) }
    case .closeConnections(let reason):
      isDraining = true
      reasonToCloseArrivals = reason
      for slot in 0..<connections.highWater where connections[slot].pointee.phase.isLive {
        close(slot, connections[slot], reason)
      }
      // Nobody is served any more who would come out of them.
      closeEmptiedListeners(by: .max)
    case .listConnections(let listing):
      listing.deliver(snapshots())
    case .stop:
      stops = true
    }
  }

  private func snapshots() -> [ConnectionSnapshot] {
    (0..<connections.highWater).filter { connections[$0].pointee.phase != .free }
      .map { snapshot($0, connections[$0]) }
  }

  private func snapshot(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> ConnectionSnapshot {
    let phase: ConnectionSnapshot.Phase =
      switch connection.pointee.phase {
      case .handshaking, .detecting: .handshaking
      case .connecting: .connecting
      case .relaying: .relaying
      case .closing, .free: .closing
      }
    return ConnectionSnapshot(
      worker: links.index, slot: Int(slot), listener: ListenerID(rawValue: Int(connection.pointee.listener)),
      phase: phase, downstream: connection.pointee.downstreamAddress, upstream: connection.pointee.upstreamAddress,
      encryption: connection.pointee.encryption, age: kernel.now &- connection.pointee.acceptedAt,
      idle: kernel.now &- connection.pointee.lastActivityAt,
      receivedBytes: connection.half(.toUpstream).pointee.bytesIn,
      sentBytes: connection.half(.toDownstream).pointee.bytesOut,
      paths: (connection.half(.toUpstream).pointee.path, connection.half(.toDownstream).pointee.path))
  }
}

extension HalfPipe {
  fileprivate var path: ConnectionSnapshot.Path {
    switch mode {
    case .buffered: .buffered
    case .spliced: .spliced
    case .copied: .copied
    }
  }
}

extension Connection.Phase {
  /// A connection that has not begun to close.
  var isLive: Bool { self != .free && self != .closing }
}
