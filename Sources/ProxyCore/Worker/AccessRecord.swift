// What a worker tells of a connection when it ends, and the bounded queue that carries it to the access log's thread.
// The worker never waits: a full queue drops the record and counts it.

public import IOUring
import Synchronization

/// One finished connection. Trivially copyable; formatted off the worker. Times are monotonic nanoseconds.
public struct AccessRecord: Sendable {
  public var listener: ListenerID
  public var reason: CloseReason
  /// The errno behind a failed connect or a reset; 0 when there is none.
  public var errno: Int32
  public var encryption: WorkerMetrics.Encryption
  /// Why TLS failed, or why the peer was denied, behind a reason that says so.
  public var tlsFailure: TLSFailure?
  public var denial: AuthorizationPolicy.Denial?
  /// The SPIFFE ID that the encrypted side proved; nil when it proved none.
  public var principal: PrincipalBytes?
  /// Nil when no handshake completed.
  public var tls: TLSSummary?
  /// The downstream's address; nil when it was gone before it could be asked for.
  public var downstream: SocketAddress?
  /// Where the bytes went; `.none` when no address was chosen.
  public var upstream: TargetAddress
  public var acceptedAt: UInt64
  /// When the upstream connection was established; 0: never.
  public var connectedAt: UInt64
  /// When the first byte came from the upstream; 0: never.
  public var firstByteAt: UInt64
  public var closedAt: UInt64
  /// Bytes from the downstream.
  public var receivedBytes: UInt64
  /// Bytes to the downstream.
  public var sentBytes: UInt64
}

/// A principal on its way to the access log: bytes that whoever holds the record frees.
///
/// `@unchecked Sendable`: the one owner at any time is the record's holder.
public struct PrincipalBytes: @unchecked Sendable {
  private let bytes: UnsafeMutableRawBufferPointer

  init(copying uri: UnsafeRawBufferPointer) {
    bytes = .allocate(byteCount: uri.count, alignment: 1)
    bytes.copyMemory(from: uri)
  }

  /// The SPIFFE ID.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  /// Called once, by the record's last holder.
  public func free() { bytes.deallocate() }
}

/// A single-producer, single-consumer ring of access records: the worker pushes, the log's thread pops.
public final class AccessRecordQueue: Sendable {
  /// Records that wait for the log at most; 1,024 × about 400 bytes per worker, resident as far as it was ever filled.
  public static let capacity = 1_024

  /// An eventfd that the log's thread sleeps on; shared by all workers' queues.
  public let wakeDescriptor: Descriptor
  private nonisolated(unsafe) let records: UnsafeMutablePointer<AccessRecord>
  /// Both grow for ever and wrap; their difference is the number of records waiting.
  private let pushed = Atomic<Int>(0)
  private let popped = Atomic<Int>(0)
  private let dropped = Atomic<UInt64>(0)
  /// Set by the consumer before it sleeps, so that a busy log costs the worker no system call.
  private let consumerSleeps = Atomic<Bool>(false)

  public init(wakeDescriptor: Descriptor) {
    self.wakeDescriptor = wakeDescriptor
    records = .allocate(capacity: Self.capacity)
  }

  deinit {
    while let record = pop() { record.principal?.free() }
    records.deallocate()
  }

  /// Records that found the queue full.
  public var droppedCount: UInt64 { dropped.load(ordering: .relaxed) }

  /// Called by the worker.
  /// - Returns: whether the consumer sleeps and needs a wake-up through `wakeDescriptor`.
  func push(_ record: AccessRecord) -> Bool {
    let tail = pushed.load(ordering: .relaxed)
    guard tail &- popped.load(ordering: .acquiring) < Self.capacity else {
      dropped.wrappingAdd(1, ordering: .relaxed)
      record.principal?.free()
      return false
    }
    (records + (tail & (Self.capacity - 1))).initialize(to: record)
    // Sequentially consistent with `prepareToSleep`: either the consumer sees the record or we see it asleep.
    pushed.store(tail &+ 1, ordering: .sequentiallyConsistent)
    guard consumerSleeps.load(ordering: .sequentiallyConsistent) else { return false }
    return consumerSleeps.exchange(false, ordering: .sequentiallyConsistent)
  }

  /// Called by the log's thread, which frees the record's principal.
  public func pop() -> AccessRecord? {
    let head = popped.load(ordering: .relaxed)
    guard pushed.load(ordering: .acquiring) != head else { return nil }
    let record = records[head & (Self.capacity - 1)]
    popped.store(head &+ 1, ordering: .releasing)
    return record
  }

  /// Called by the log's thread before it blocks on `wakeDescriptor`.
  /// - Returns: false when records came in the meantime: pop again in place of sleeping.
  public func prepareToSleep() -> Bool {
    consumerSleeps.store(true, ordering: .sequentiallyConsistent)
    if pushed.load(ordering: .sequentiallyConsistent) == popped.load(ordering: .relaxed) { return true }
    consumerSleeps.store(false, ordering: .sequentiallyConsistent)
    return false
  }
}
