// The names behind the listeners' numbers. The control thread adds and removes; the access log, the metrics and the
// admin endpoints look up.

import Synchronization

/// All listeners of the process's life, removed ones included: a connection may outlive its listener.
public final class ListenerDirectory: Sendable {
  public struct Entry: Sendable {
    public let id: ListenerID
    public let name: String
    public let direction: Configuration.Listener.Direction
    /// Which of its two series the listener can count into.
    public fileprivate(set) var encryptions: [WorkerMetrics.Encryption]
    public fileprivate(set) var state: State
  }

  public enum State: Sendable {
    case accepting
    /// No longer accepts; connections may be left.
    case removed
    /// Removed, and its last connection has ended: its metrics are gone too.
    case retired
  }

  /// Indexed by `ListenerID.rawValue`.
  private let entries = Mutex<[Entry]>([])

  init() {}

  /// Numbers a new listener.
  /// - Returns: nil when the process has used up `WorkerMetrics.listenersMax` over its reloads.
  func add(_ listener: Configuration.Listener) -> ListenerID? {
    entries.withLock { entries in
      guard entries.count < WorkerMetrics.listenersMax else { return nil }
      let id = ListenerID(rawValue: entries.count)
      entries.append(
        Entry(
          id: id, name: listener.name, direction: listener.direction, encryptions: listener.encryptions,
          state: .accepting))
      return id
    }
  }

  /// How many more listeners can be added.
  var capacityLeft: Int { entries.withLock { WorkerMetrics.listenersMax - $0.count } }

  func update(_ id: ListenerID, to listener: Configuration.Listener) {
    entries.withLock { $0[id.rawValue].encryptions = listener.encryptions }
  }

  func remove(_ id: ListenerID) { entries.withLock { $0[id.rawValue].state = .removed } }

  func retire(_ ids: [ListenerID]) {
    entries.withLock { entries in
      for id in ids where entries[id.rawValue].state == .removed { entries[id.rawValue].state = .retired }
    }
  }

  public subscript(id: ListenerID) -> Entry? {
    entries.withLock { $0.indices.contains(id.rawValue) ? $0[id.rawValue] : nil }
  }

  /// All but the retired ones.
  public var current: [Entry] { entries.withLock { $0.filter { $0.state != .retired } } }
}

extension Configuration.Listener {
  /// Whether connections of this listener can be in the clear, under mutual TLS, or both.
  fileprivate var encryptions: [WorkerMetrics.Encryption] {
    switch direction {
    case .inbound:
      switch tls {
      case .off: [.none]
      case .permissive: [.none, .mutual]
      case .strict: [.mutual]
      }
    case .outbound:
      mesh.contains { $0.tls == .strict } ? [.none, .mutual] : [.none]
    }
  }
}
