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
  /// Nothing is accepted any more; the descriptor is closed once nothing is in flight.
  var isClosing = false
}

struct ListenerTable: ~Copyable {
  private var listeners: [Listener?] = Array(repeating: nil, count: WorkerMetrics.listenersMax)

  subscript(listener: ListenerID) -> Listener? {
    get { listeners[listener.rawValue] }
    _modify { yield &listeners[listener.rawValue] }
  }

  /// Listeners that accept, or would if they were not paused.
  var open: [ListenerID] {
    listeners.indices.filter { listeners[$0].map { !$0.isClosing } ?? false }.map(ListenerID.init(rawValue:))
  }

  /// Nothing of any listener is in flight.
  var isQuiet: Bool { listeners.allSatisfy { $0 == nil || $0?.waiting == .nothing } }
}

/// How long accepting pauses when descriptors run out, in nanoseconds: doubled from 10 ms up to 1 s, so that a
/// shortage is neither spun on nor outlived by much.
enum AcceptBackOff {
  static let delayMin: UInt64 = 10_000_000
  static let delayMax: UInt64 = 1_000_000_000
}
