// Where a redirected connection was going, and the loops that redirection and targets can make: a connection of the proxy's
// own that is led back to it would be connected once more, and once more, until no connection is left to anybody.

import IOUring

extension Worker where K: ~Copyable {
  /// Where netfilter redirected the connection from; nil when that is this proxy, when it comes from this proxy, or when
  /// nothing redirected it: then connecting there would come back here, for ever.
  mutating func originalDestination(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ plan: ListenerPlan
  ) -> SocketAddress? {
    let downstream = connection.pointee.downstream
    guard let local = readAddress({ kernel.localAddress(downstream, into: $0) }) else { return nil }
    // An IPv4 connection on a dual-stack socket keeps its original destination at the IPv4 level.
    let isIPv6 = local.ip.unmapped.family == .ipv6
    guard
      let original = readAddress({ kernel.originalDestination(downstream, isIPv6: isIPv6, into: $0) }),
      original.ip.unmapped != local.ip.unmapped || original.port != local.port,
      !listeners.accepts(original, at: local),
      !asksWhoConnects(slot, connection) || !isOwnConnection(connection, headedFor: original)
    else { return nil }
    return original
  }

  /// Whether a target of the same port as its listener has led the worker's own connection back, as far as that is looked for:
  /// a name may stand for this host, and so may an address.
  mutating func wasLedBack(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ plan: ListenerPlan, by target: TargetAddress
  ) -> Bool {
    guard target.socketAddress?.port == plan.bind.port, asksWhoConnects(slot, connection) else { return false }
    let downstream = connection.pointee.downstream
    guard let local = readAddress({ kernel.localAddress(downstream, into: $0) }) else { return false }
    return isOwnConnection(connection, headedFor: local)
  }

  /// Whether to look for a loop. In the right set-up there is none, and a look costs a system call per connection. So it
  /// is taken only when connections become as many as never before, each time that they have doubled: a loop gets there
  /// by itself, and at the proxy's first connections it is found at its first step. Where there was one, another is
  /// expected with every connection.
  private func asksWhoConnects(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
    hasSeenLoop || (connection.pointee.generation == 0 && slot & (slot &+ 1) == 0)
  }

  /// Whether the client is this worker's own connection to an upstream, which was led back to the listener that it came
  /// from. That is what rules do that pass over another user than the one the proxy runs as. To come back to another
  /// listener is all right: an app that calls itself through a Service goes out and in again. Notes where it is so.
  ///
  /// - Parameter destination: where it was going before anything led it here. Only together with that the client's address names
  ///   one connection: Linux gives one local port to several whose destinations differ.
  private mutating func isOwnConnection(
    _ connection: UnsafeMutablePointer<Connection>, headedFor destination: SocketAddress
  ) -> Bool {
    guard let client = connection.pointee.downstreamAddress else { return false }
    for slot in 0..<connections.highWater {
      let other = connections[slot]
      guard other.pointee.phase != .free, other.pointee.listener == connection.pointee.listener,
        other.pointee.upstream != .none,
        other.pointee.upstreamAddress.socketAddress?.unmapped == destination.unmapped
      else { continue }
      let upstream = other.pointee.upstream
      guard readAddress({ kernel.localAddress(upstream, into: $0) })?.unmapped == client else { continue }
      hasSeenLoop = true
      return true
    }
    return false
  }
}

extension ListenerTable {
  /// Whether a connection to `destination` would come back to one of this proxy's listeners. The pod's own addresses
  /// are loopback and the one that the connection came in on.
  func accepts(_ destination: SocketAddress, at local: SocketAddress) -> Bool {
    let ip = destination.ip.unmapped
    guard ip.isLoopback || ip.isUnspecified || ip == local.ip.unmapped else { return false }
    return accepting.contains { self[$0]?.plan.bind.port == destination.port }
  }
}
