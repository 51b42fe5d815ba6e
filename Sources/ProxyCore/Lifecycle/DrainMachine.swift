// The end of a proxy as a state machine without I/O: signals, requests and a clock go in, actions come out. The control
// thread owns one and performs what it says.
//
//   serving ──terminate/drain──▶ grace ──drain.grace──▶ draining ──last connection──▶ drained (after `drain`)
//                                                          │                          ended   (after `terminate`)
//                                                          └──drain.deadline: cut──▶ closing ──▶ drained or ended
//   drained ──a connection out of a queue──▶ draining
//   any ──interrupt──▶ closing ──▶ ended

/// Where a proxy is between serving and gone, and what to do next. Times are monotonic nanoseconds.
public struct DrainMachine: Sendable, Equatable {
  public enum Phase: String, Sendable {
    case serving
    /// Unready, but still accepting: endpoints take time to vanish from the lists of clients.
    case grace
    /// No longer accepting; connections that are there may end on their own.
    case draining
    /// Connections were told to end.
    case closing
    /// Empty and alive, waiting for `terminate`.
    case drained
    case ended
  }

  public enum Action: Sendable, Equatable {
    case stopAccepting
    case closeConnections(CloseReason)
    /// Workers leave when their last connection has ended.
    case stopWorkers
  }

  public private(set) var phase = Phase.serving
  /// Whether the process ends when the last connection has; false after `drain`.
  public private(set) var endsProcess = false

  /// How long to wait for workers that were told to close everything. They need one turn; a worker that is stuck in the
  /// kernel must not keep the pod from ending.
  static let closingTimeout: UInt64 = 5_000_000_000

  /// How long the queues of listeners may still bring connections: what a worker takes to empty them, and a moment for it to
  /// hear of it.
  static let emptyingTime = ListenerTable.emptyingTime + 50_000_000

  /// Between two looks for connections to cut once the deadline has passed.
  static let lateInterval: UInt64 = 20_000_000

  private let grace: UInt64
  private let deadline: UInt64
  private var graceEndsAt: UInt64 = 0
  private var deadlineAt: UInt64 = 0
  private var queuesEmptyAt: UInt64 = 0
  private var closingEndsAt: UInt64 = 0

  public init(_ drain: Configuration.Drain) {
    grace = drain.grace.nanoseconds
    deadline = max(grace, drain.deadline.nanoseconds)
  }

  /// When `advance` has something to do again if nothing else happens; nil where that is for others to bring about.
  public func nextDeadline(now: UInt64) -> UInt64? {
    switch phase {
    case .serving, .drained, .ended:
      return nil
    case .grace:
      return graceEndsAt
    case .draining:
      // Past the deadline there was no connection to cut, but one may still come out of a queue.
      let cutsAt = deadlineAt > now ? deadlineAt : now.addingSaturated(Self.lateInterval)
      return endsProcess || queuesEmptyAt <= now ? cutsAt : min(cutsAt, queuesEmptyAt)
    case .closing:
      // Past it without an end of the process, connections that are stuck are all that is waited for.
      return endsProcess || closingEndsAt > now ? closingEndsAt : nil
    }
  }

  /// SIGTERM and `POST /shutdown`: drain, then end. The second time: `interrupt`.
  public mutating func terminate(now: UInt64) -> [Action] {
    if endsProcess { return interrupt(now: now) }
    endsProcess = true
    switch phase {
    case .serving:
      return begin(now: now)
    case .grace, .ended:
      return []
    case .draining, .drained:
      phase = .draining
      return [.stopWorkers]
    case .closing:
      // Workers need their turn from now on.
      closingEndsAt = now.addingSaturated(Self.closingTimeout)
      return [.stopWorkers]
    }
  }

  /// `POST /drain`: drain, then stay. Without effect once draining.
  public mutating func drain(now: UInt64) -> [Action] {
    phase == .serving ? begin(now: now) : []
  }

  /// SIGINT and a second SIGTERM: end now.
  public mutating func interrupt(now: UInt64) -> [Action] {
    guard phase != .ended else { return [] }
    var actions: [Action] = []
    if phase == .serving || phase == .grace { actions.append(.stopAccepting) }
    actions.append(.closeConnections(.shutdown))
    // Workers may have been told before; a second `stop` does no harm.
    actions.append(.stopWorkers)
    endsProcess = true
    phase = .closing
    closingEndsAt = now.addingSaturated(Self.closingTimeout)
    return actions
  }

  /// Called whenever time has passed or a worker's last connection has ended.
  ///
  /// - Parameters:
  ///   - connections: how many are open over all workers.
  ///   - workersEnded: whether all workers have left their loops.
  public mutating func advance(now: UInt64, connections: Int, workersEnded: Bool) -> [Action] {
    var actions: [Action] = []
    if phase == .grace, now >= graceEndsAt {
      phase = .draining
      queuesEmptyAt = now.addingSaturated(Self.emptyingTime)
      actions.append(.stopAccepting)
      if endsProcess { actions.append(.stopWorkers) }
    }
    // A worker that was late has found one in a queue: back, so that the deadline holds for it.
    if phase == .drained, connections > 0 { phase = .draining }
    if phase == .draining, now >= deadlineAt, connections > 0 {
      phase = .closing
      closingEndsAt = now.addingSaturated(Self.closingTimeout)
      actions.append(.closeConnections(.drainDeadline))
    }
    // Workers carry `stopAccepting` out a moment after it was said: a connection that slipped in meanwhile is seen by
    // the worker, which doesn't leave before it has ended. So only workers that left are the end of the process.
    if phase == .draining || phase == .closing {
      if endsProcess {
        if workersEnded || (phase == .closing && now >= closingEndsAt) { phase = .ended }
      } else if connections == 0, phase == .closing || now >= queuesEmptyAt {
        phase = .drained
      }
    }
    return actions
  }

  private mutating func begin(now: UInt64) -> [Action] {
    phase = .grace
    graceEndsAt = now.addingSaturated(grace)
    deadlineAt = now.addingSaturated(deadline)
    return []
  }
}
