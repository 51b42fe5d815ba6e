// How the control thread talks to a worker: a locked list of commands and an eventfd that the worker polls. Never on
// the data path: the worker looks only when the eventfd says so.

public import IOUring
import Synchronization

/// What the control thread can ask of a worker. Commands are carried out in order, between two loop turns.
public enum WorkerCommand: Sendable {
  /// Starts accepting on a bound and listening socket. The worker owns the descriptor from here on.
  case addListener(ListenerID, Descriptor, ListenerPlan)
  /// New rules for new connections.
  case updateListener(ListenerID, ListenerPlan)
  /// Stops accepting, and closes the socket when whoever has begun to connect is in; its connections live on.
  case removeListener(ListenerID)
  /// Closes the socket at once, even if it has been told to do so in a moment; its connections live on.
  case closeListener(ListenerID)
  /// New timeouts, which count for connections that are there when their timers are set the next time, and a look at the limit
  /// on connections, which may have changed.
  case updateSettings(WorkerSettings)
  /// Who this sidecar is from now on; connections that have begun their handshake keep what they have.
  case updateIdentity(TLSContext)
  /// Closes all listeners; connections live on.
  case stopAccepting
  /// Ends every connection now, for this reason, and those that closing listeners still bring. Comes after
  /// `stopAccepting`.
  case closeConnections(CloseReason)
  /// Describes the connections to `ConnectionListing`.
  case listConnections(ConnectionListing)
  /// Leaves the loop once the last connection has ended. Comes after `stopAccepting`.
  case stop
}

/// One worker's inbox.
public final class Mailbox: Sendable {
  /// An eventfd(2), non-blocking: readable when there is mail.
  public let wakeDescriptor: Descriptor
  private let commands = Mutex<[WorkerCommand]>([])

  public init(wakeDescriptor: Descriptor) {
    self.wakeDescriptor = wakeDescriptor
  }

  /// Leaves a command for the worker. Called from any thread but the worker's.
  public func post(_ command: WorkerCommand) {
    commands.withLock { $0.append(command) }
    EventDescriptor.notify(wakeDescriptor)
  }

  /// All commands that wait. Called by the worker after it was woken.
  func takeAll() -> [WorkerCommand] {
    commands.withLock { commands in
      defer { commands = [] }
      return commands
    }
  }
}

/// A live connection, as `GET /connections` shows it.
public struct ConnectionSnapshot: Sendable {
  public enum Phase: String, Sendable {
    case handshaking, connecting, relaying, closing
  }

  /// How a direction moves its bytes at the moment.
  public enum Path: String, Sendable {
    case buffered, spliced, copied
  }

  public var worker: Int
  public var slot: Int
  public var listener: ListenerID
  public var phase: Phase
  public var downstream: SocketAddress?
  public var upstream: TargetAddress
  public var encryption: WorkerMetrics.Encryption
  /// Monotonic nanoseconds since the connection was accepted, and since its last byte.
  public var age: UInt64
  public var idle: UInt64
  public var receivedBytes: UInt64
  public var sentBytes: UInt64
  /// Downstream to upstream, and back.
  public var paths: (Path, Path)
}

/// Collects the answers of all workers to one `listConnections`.
public final class ConnectionListing: Sendable {
  private let snapshots = Mutex<[ConnectionSnapshot]>([])
  private let pending: Atomic<Int>
  /// An eventfd that becomes readable when the last worker has answered; the asker owns it.
  private let doneDescriptor: Descriptor

  public init(workers: Int, doneDescriptor: Descriptor) {
    pending = Atomic(workers)
    self.doneDescriptor = doneDescriptor
  }

  func deliver(_ part: [ConnectionSnapshot]) {
    snapshots.withLock { $0 += part }
    if pending.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
      EventDescriptor.notify(doneDescriptor)
    }
  }

  public func result() -> [ConnectionSnapshot] { snapshots.withLock { $0 } }
}
