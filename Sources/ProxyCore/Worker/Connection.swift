// The state of one connection: a plain value in a slot of the worker's table. It has no methods that act on the
// world; the worker's extensions read and change it.

import IOUring

struct Connection {
  enum Phase: UInt8 {
    /// The slot is free.
    case free
    /// TLS is being set up on one side; nothing is relayed yet.
    case handshaking
    /// The upstream is there; a permissive listener waits for whoever speaks first.
    case detecting
    case connecting
    case relaying
    /// Torn down: waits for the final completion of everything in flight, then its descriptors are closed.
    case closing
  }

  var phase: Phase
  /// Counts the uses of this slot, so that a late completion can be told from a new connection's.
  var generation: UInt32
  var inFlight: OperationSet
  var listener: UInt16
  /// The address of the target that is tried next.
  var nextAddress: UInt8
  /// The connect in flight was cancelled because its time was up.
  var connectTimedOut: Bool
  /// Which side's FIN came first, once one did.
  var firstEnded: Side
  var reason: CloseReason
  /// The errno behind the reason; 0 when there is none.
  var errno: Int32
  var encryption: WorkerMetrics.Encryption
  /// Whether it is known if the connection is encrypted; only then it counts as opened.
  var isSettled: Bool
  /// A permissive listener's connection of which nobody knows yet whether it is TLS.
  var isUndecided: Bool
  /// First cell of the listener's series that this connection counts into.
  var series: Int
  /// Why TLS failed, or why the peer was denied, behind a reason that says so.
  var tlsFailure: TLSFailure?
  var denial: AuthorizationPolicy.Denial?
  /// The TLS of the side that has it, once its handshake has begun.
  var tls: UnsafeMutablePointer<TLSConnection>?

  var downstream: Descriptor
  var upstream: Descriptor
  /// Indexed by `Direction`.
  var halves: (HalfPipe, HalfPipe)

  var timer: TimerNode
  var handshake: HandshakePlace
  /// Next slot of the free list.
  var nextFree: UInt32

  /// Monotonic nanoseconds; 0 for what has not happened.
  var acceptedAt: UInt64
  var connectStartedAt: UInt64
  var connectedAt: UInt64
  var firstByteAt: UInt64
  var lastActivityAt: UInt64
  /// Of the last look of `Worker.isStillDelivered`: the `lastActivityAt` of its silence, and the bytes that it found delivered;
  /// the lower halves of both.
  var silenceAtLook: UInt32
  var deliveredAtLook: UInt32
  /// When `Worker.settleIn` is due; `.max` when nothing is.
  var settlingDueAt: UInt64

  var downstreamAddress: SocketAddress?
  /// Where the upstream is. The kernel reads it in place while a connect is in flight.
  var upstreamAddress: TargetAddress

  /// A connection that was just accepted.
  init(
    generation: UInt32, listener: ListenerID, downstream: Descriptor, downstreamAddress: SocketAddress?, now: UInt64
  ) {
    phase = .connecting
    self.generation = generation
    inFlight = OperationSet()
    self.listener = UInt16(truncatingIfNeeded: listener.rawValue)
    nextAddress = 0
    connectTimedOut = false
    firstEnded = .downstream
    reason = .connectFailed
    errno = 0
    encryption = .none
    isSettled = false
    isUndecided = false
    series = WorkerMetrics.series(listener: listener.rawValue, encryption: .none)
    tlsFailure = nil
    denial = nil
    tls = nil
    self.downstream = downstream
    upstream = .none
    halves = (.idle, .idle)
    timer = TimerNode()
    handshake = HandshakePlace()
    nextFree = 0
    acceptedAt = now
    connectStartedAt = 0
    connectedAt = 0
    firstByteAt = 0
    lastActivityAt = now
    silenceAtLook = 0
    deliveredAtLook = 0
    settlingDueAt = .max
    self.downstreamAddress = downstreamAddress
    upstreamAddress = .none
  }
}

extension UnsafeMutablePointer<Connection> {
  @inline(__always)
  func half(_ direction: Direction) -> UnsafeMutablePointer<HalfPipe> {
    let first = UnsafeMutableRawPointer(self).advanced(by: MemoryLayout<Connection>.offset(of: \.halves)!)
      .assumingMemoryBound(to: HalfPipe.self)
    return first + Int(direction.rawValue)
  }

  @inline(__always)
  func descriptor(_ side: Side) -> Descriptor {
    side == .downstream ? pointee.downstream : pointee.upstream
  }

  /// The descriptor that an operation of a connection is submitted for.
  func descriptor(of operation: Operation) -> Descriptor {
    switch operation.kind {
    case .receive, .pollSource: descriptor(operation.direction.source)
    case .send, .pollSink: descriptor(operation.direction.sink)
    case .watch: descriptor(operation.side)
    case .connect: pointee.upstream
    case .accept, .mail, nil: .none
    }
  }

  /// Whether a side's other end is reached over loopback, so that no network lies between.
  func isOnThisHost(_ side: Side) -> Bool {
    let address = side == .downstream ? pointee.downstreamAddress : pointee.upstreamAddress.socketAddress
    return address?.ip.isLoopback ?? false
  }

  /// The address of the connect in flight.
  var upstreamAddressPointer: UnsafeRawPointer {
    UnsafeRawPointer(self) + MemoryLayout<Connection>.offset(of: \.upstreamAddress)!
      + MemoryLayout<TargetAddress>.offset(of: \.bytes)!
  }
}
