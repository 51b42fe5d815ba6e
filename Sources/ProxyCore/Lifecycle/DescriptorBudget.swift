// How many connections and pipes the limit on open files allows. Read at start and on reload, before the limits are handed
// to the workers.

import Glibc

/// The file descriptors of this process, shared out.
public struct DescriptorBudget: Sendable, Equatable {
  /// RLIMIT_NOFILE's hard limit: what the soft limit was raised to.
  public var limit: Int
  public var workers: Int
  public var listeners: Int

  public init(limit: Int, workers: Int, listeners: Int) {
    self.limit = limit
    self.workers = workers
    self.listeners = listeners
  }

  /// What isn't there for connections.
  var reserve: Int {
    // Standard streams, the control thread's four, the access log's two, the event loop's three, NIO's two listeners,
    // and room for libraries and /proc files that are open for a moment.
    let process = 32
    // A full set of clients of both HTTP endpoints.
    let endpoints = 2 * 64
    // Ring, the epoll nested in it, mailbox, spare.
    let perWorker = 4
    return process + endpoints + workers * (perWorker + listeners)
  }

  /// Fewer are not enough to start with: what `reserve` counts, but for clients of the endpoints and what is open for a moment.
  var startMin: Int { 20 + workers * (4 + listeners) }

  /// Why the proxy can't start with so few, and the mend; nil: it can.
  public var obstacle: String? {
    guard limit < startMin else { return nil }
    return "\(limit) open files are not enough for \(workers) worker\(workers == 1 ? "" : "s"); "
      + "raise the limit (ulimit -n) to \(startMin) at the least, and by two for each connection"
  }

  /// Two sockets.
  static let descriptorsPerConnection = 2
  /// Two ends.
  static let descriptorsPerPipe = 2
  /// This part of what is there for connections and their pipes is for pipes alone. Bulk that gets none is copied.
  static let partsPerPipePart = 16

  /// The largest `limits.connections` that can be kept, with what the workers have room for.
  public var connectionsMax: Int {
    let shared = max(0, limit - reserve)
    let fitting = (shared - shared / Self.partsPerPipePart) / Self.descriptorsPerConnection
    return min(max(1, fitting), workers * slotsPerWorker)
  }

  /// A worker may get all connections, and a limit that a reload raises is still one of open files.
  public var slotsPerWorker: Int { min(Self.slotsMax, max(1, limit)) }

  /// The most connections that one worker takes.
  static let slotsMax = 131_072

  /// How many pipes all workers together may have beside so many connections.
  func pipesMax(beside connections: Int) -> Int {
    max(0, limit - reserve - connections * Self.descriptorsPerConnection) / Self.descriptorsPerPipe
  }

  /// Raises the soft limit to the hard one.
  /// - Returns: the limit that holds now.
  public static func raiseLimit() -> Int {
    var limits = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 else { return 1_024 }
    if limits.rlim_cur < limits.rlim_max {
      let soft = limits.rlim_cur
      limits.rlim_cur = limits.rlim_max
      if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) != 0 { limits.rlim_cur = soft }
    }
    return Int(min(limits.rlim_cur, rlim_t(Int32.max)))
  }
}
