// From an accepted connection to an established upstream: choose the address, connect, try the next one.

import Glibc
import IOUring

extension Worker where K: ~Copyable {
  /// A Unix socket whose backlog is full answers EAGAIN at once; it is asked again after this many nanoseconds.
  private static var connectRetryInterval: UInt64 { 10_000_000 }

  /// Connects to the next address of the target, or closes when there is none left.
  mutating func connectUpstream(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.pointee.phase != .handshaking { connection.pointee.phase = .connecting }
    while let address = nextAddress(slot, connection) {
      guard settleEncryption(connection, towards: address) else { continue }
      connection.pointee.upstreamAddress = address
      guard mayConnect(slot, connection) else { return }
      connection.pointee.connectStartedAt = kernel.now
      connection.pointee.connectTimedOut = false
      let descriptor = kernel.openSocket(family: address.family)
      guard descriptor >= 0 else {
        connectFailed(connection, error: -descriptor)
        continue
      }
      connection.pointee.upstream = Descriptor(rawValue: descriptor)
      // A success in the turn that ran short says nothing: it has the descriptor of one that was reset.
      if acceptRetryAt == .max { acceptRetryDelay = AcceptBackOff.delayMin }
      if address.family != AF_UNIX { kernel.configureStream(connection.pointee.upstream) }
      submitConnect(slot, connection)
      return
    }
    if connection.pointee.upstreamAddress.length == 0 {
      settle(connection, .none)
      countConnectFailure(connection)
    }
    close(slot, connection, connection.pointee.reason)
  }

  mutating func submitConnect(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.pointee.phase == .connecting { setConnectTimer(slot, connection) }
    kernel.submitConnect(
      connection.pointee.upstream, address: connection.upstreamAddressPointer,
      length: connection.pointee.upstreamAddress.length, token: begin(.connect, slot, connection))
  }

  mutating func setConnectTimer(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    timers.set(
      slot, deadline: connection.pointee.connectStartedAt.addingSaturated(settings.connectTimeout), in: connections)
  }

  mutating func connectCompleted(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, result: Int32
  ) {
    if result == 0 {
      connection.pointee.connectedAt = kernel.now
      latencyLayout.record(
        nanoseconds: kernel.now &- connection.pointee.connectStartedAt, in: metrics,
        at: connection.pointee.series + WorkerMetrics.connectDurationOffset)
      upstreamConnected(slot, connection)
      return
    }
    if result == -EAGAIN, connection.pointee.upstreamAddress.family == AF_UNIX {
      // The timer is the handshake's, and a full backlog is nothing to hurry for: `inboundPeerProved` asks again.
      if connection.pointee.phase == .handshaking { return }
      let deadline = connection.pointee.connectStartedAt.addingSaturated(settings.connectTimeout)
      timers.set(slot, deadline: min(deadline, kernel.now &+ Self.connectRetryInterval), in: connections)
      return
    }
    connectFailed(connection, error: connection.pointee.connectTimedOut ? ETIMEDOUT : -result)
    closeUpstream(connection)
    connectUpstream(slot, connection)
  }

  private mutating func upstreamConnected(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.pointee.isUndecided {
      awaitFirstBytes(slot, connection)
    } else if connection.pointee.phase == .handshaking {
      // A permissive listener's TLS, which goes on in parallel and comes back here.
    } else if connection.pointee.tls != nil {
      startRelay(slot, connection)
    } else {
      switch (connection.pointee.encryption, meshRule(connection, towards: connection.pointee.upstreamAddress)) {
      case (.none, nil): startRelay(slot, connection)
      case (.mutual, let (rules, rule)?): beginOutboundHandshake(slot, connection, rules: rules, rule: rule)
      // A reload has brought the rule or taken it away meanwhile. What is to be encrypted does not pass in the clear.
      default: close(slot, connection, .connectFailed)
      }
    }
  }

  mutating func connectTimerFired(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    let isTimeUp = kernel.now &- connection.pointee.connectStartedAt >= settings.connectTimeout
    if connection.pointee.inFlight.contains(.connect) {
      // The completion moves on to the next address.
      connection.pointee.connectTimedOut = true
      cancel(.connect, slot, connection)
    } else if isTimeUp {
      connectFailed(connection, error: ETIMEDOUT)
      closeUpstream(connection)
      connectUpstream(slot, connection)
    } else {
      submitConnect(slot, connection)
    }
  }

  private mutating func closeUpstream(_ connection: UnsafeMutablePointer<Connection>) {
    kernel.close(connection.pointee.upstream)
    connection.pointee.upstream = .none
  }

  /// Notes why this address did not work, for the close reason should it be the last one.
  private mutating func connectFailed(_ connection: UnsafeMutablePointer<Connection>, error: Int32) {
    connection.pointee.errno = error
    connection.pointee.reason =
      switch error {
      case ECONNREFUSED, ENOENT: .connectRefused
      case ETIMEDOUT: .connectTimeout
      case EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL: .connectUnreachable
      case EMFILE, ENFILE: .descriptorsExhausted
      default: .connectFailed
      }
    countConnectFailure(connection)
    if connection.pointee.reason == .descriptorsExhausted { pauseAccepting() }
  }

  private func countConnectFailure(_ connection: UnsafeMutablePointer<Connection>) {
    let failure: WorkerMetrics.ConnectFailure =
      switch connection.pointee.reason {
      case .connectRefused: .refused
      case .connectTimeout: .timeout
      case .connectUnreachable: .unreachable
      case .descriptorsExhausted: .descriptors
      case .resolveFailed: .resolve
      case .connectLoop: .loop
      default: .other
      }
    metrics.add(connection.pointee.series + WorkerMetrics.connectFailureOffset + failure.rawValue)
  }

  // MARK: Policy

  /// Whether the peer may reach the address that was chosen, as far as that is known yet; closes the connection if not.
  private mutating func mayConnect(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
    // A permissive listener connects before it knows; it asks the policy later, before a byte moves.
    if connection.pointee.isUndecided || connection.pointee.phase == .handshaking { return true }
    return authorize(slot, connection)
  }

  /// The first address that is tried settles whether an outbound connection is encrypted. False for an address where it
  /// would be otherwise, which is passed over: whoever can make one address fail must not win the connection in the clear.
  private func settleEncryption(
    _ connection: UnsafeMutablePointer<Connection>, towards address: TargetAddress
  ) -> Bool {
    guard listeners[ListenerID(rawValue: Int(connection.pointee.listener))]?.plan.direction == .outbound else {
      // A permissive listener's is settled by what the client says first.
      if !connection.pointee.isUndecided { settle(connection, .none) }
      return true
    }
    let encryption: WorkerMetrics.Encryption = meshRule(connection, towards: address) == nil ? .none : .mutual
    settle(connection, encryption)
    return connection.pointee.encryption == encryption
  }

  /// Asks the listener's policy; closes the connection when it is denied. Not a byte has reached the app before.
  mutating func authorize(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
    guard let plan = listeners[ListenerID(rawValue: Int(connection.pointee.listener))]?.plan else { return false }
    // A client that has gone already has no address: it matches no rule but those for every source, and hears nothing.
    let decision = plan.authorization.decide(
      principal: connection.pointee.tls?.pointee.session.peer?.uri,
      source: connection.pointee.downstreamAddress?.ip ?? IPAddress(v6: 0),
      port: connection.pointee.upstreamAddress.socketAddress?.port)
    guard case .denied(let denial) = decision else { return true }
    connection.pointee.denial = denial
    metrics.add(connection.pointee.series + WorkerMetrics.denialOffset + Int(denial.rawValue))
    close(slot, connection, .denied)
    return false
  }

  /// The mesh rule that asks for TLS towards an address; nil where the bytes pass in the clear.
  private func meshRule(
    _ connection: UnsafeMutablePointer<Connection>, towards address: TargetAddress
  ) -> (rules: MeshRules, rule: Int)? {
    guard let plan = listeners[ListenerID(rawValue: Int(connection.pointee.listener))]?.plan,
      plan.direction == .outbound, let destination = address.socketAddress,
      case .mutualTLS(let rule) = plan.mesh.match(destination)
    else { return nil }
    return (plan.mesh, rule)
  }

  // MARK: Choosing the address

  /// The address to try next; nil when there is none, and then `Connection.reason` says why.
  private mutating func nextAddress(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>
  ) -> TargetAddress? {
    guard let plan = listeners[ListenerID(rawValue: Int(connection.pointee.listener))]?.plan else { return nil }
    let index = Int(connection.pointee.nextAddress)
    switch plan.destination {
    case .addresses(let addresses):
      if addresses.isEmpty { connection.pointee.reason = .resolveFailed }
      guard index < min(addresses.count, Int(UInt8.max)) else { return nil }
      connection.pointee.nextAddress += 1
      guard !wasLedBack(slot, connection, plan, by: addresses[index]) else {
        connection.pointee.reason = .connectLoop
        return nil
      }
      return addresses[index]
    case .original:
      guard index == 0 else { return nil }
      connection.pointee.nextAddress = 1
      guard let address = originalDestination(slot, connection, plan) else {
        connection.pointee.reason = .connectLoop
        return nil
      }
      return TargetAddress(address)
    }
  }
}
