// A worker's listeners by number. Touched once per connection, never per message.

import IOUring

/// A listener as one worker sees it.
struct Listener {
  /// How the worker waits for connections.
  enum Waiting {
    /// Nothing is in flight: accepting is paused, or the listener is being closed.
    case nothing
    /// A multishot accept is armed.
    case accept
    /// Near the connection limit: a poll is armed, and connections are taken one by one as permits allow.
    case poll
  }

  var descriptor: Descriptor
  var plan: ListenerPlan
  var waiting = Waiting.nothing
  var phase = Phase.open

  /// How a listener ends.
  enum Phase: Equatable {
    case open
    /// Nobody new gets into the queue, but whoever has begun to connect does, and is accepted, up to this time.
    case emptying(until: UInt64)
    /// Nothing is accepted any more; the descriptor is closed once nothing is in flight.
    case closing

    var isEmptying: Bool { if case .emptying = self { true } else { false } }
  }
}

struct ListenerTable: ~Copyable {
  /// How long a queue is emptied before its listener closes, in nanoseconds. A client whose handshake lacks only its own
  /// last segment believes that it is connected. Linux holds that segment back for up to 200 ms where data is about to
  /// carry it (TCP_DELACK_MAX); the rest is for the way through the network.
  static let emptyingTime: UInt64 = 250_000_000

  private var listeners: [Listener?] = Array(repeating: nil, count: WorkerMetrics.listenersMax)

  subscript(listener: ListenerID) -> Listener? {
    get { listeners[listener.rawValue] }
    _modify { yield &listeners[listener.rawValue] }
  }

  /// Listeners that accept, or would if they were not paused.
  var accepting: [ListenerID] { ids { $0.phase != .closing } }

  /// Listeners whose queues are to be emptied before they close.
  var emptying: [ListenerID] { ids { $0.phase.isEmptying } }

  private func ids(where isMeant: (Listener) -> Bool) -> [ListenerID] {
    listeners.indices.filter { listeners[$0].map(isMeant) ?? false }.map(ListenerID.init(rawValue:))
  }

  /// Nothing of any listener is in flight, or about to be.
  var isQuiet: Bool { listeners.allSatisfy { $0.map { $0.waiting == .nothing && !$0.phase.isEmptying } ?? true } }
}

/// How long accepting pauses when descriptors run out, in nanoseconds: doubled from 10 ms up to 1 s, so that a
/// shortage is neither spun on nor outlived by much.
enum AcceptBackOff {
  static let delayMin: UInt64 = 10_000_000
  static let delayMax: UInt64 = 1_000_000_000
}
