// The state of one connection: a plain value in a slot of the worker's table. It has no methods that act on the
// world; the worker's extensions read and change it.

import IOUring

struct Connection {
  enum Phase: UInt8 {
    /// The slot is free.
    case free
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
  /// First cell of the listener's series that this connection counts into.
  var series: Int

  var downstream: Descriptor
  var upstream: Descriptor
  /// Indexed by `Direction`.
  var halves: (HalfPipe, HalfPipe)

  var timer: TimerNode
  /// Next slot of the free list.
  var nextFree: UInt32

  /// Monotonic nanoseconds; 0 for what has not happened.
  var acceptedAt: UInt64
  var connectStartedAt: UInt64
  var connectedAt: UInt64
  var firstByteAt: UInt64
  var lastActivityAt: UInt64

  var downstreamAddress: SocketAddress?
  /// Where the upstream is. The kernel reads it in place while a connect is in flight.
  var upstreamAddress: TargetAddress
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

  /// The address of the connect in flight.
  var upstreamAddressPointer: UnsafeRawPointer {
    UnsafeRawPointer(self) + MemoryLayout<Connection>.offset(of: \.upstreamAddress)!
      + MemoryLayout<TargetAddress>.offset(of: \.bytes)!
  }
}
