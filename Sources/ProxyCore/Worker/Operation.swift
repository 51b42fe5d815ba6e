// The operations that a worker has in flight, and how each is packed into the token that comes back with its
// completion. A connection has at most one operation of each kind and direction, so that a 16-bit set holds them all.

import IOUring

/// Which socket of a connection.
enum Side: UInt8 {
  /// Who connected to us.
  case downstream
  /// Whom we connected to.
  case upstream

  @inline(__always)
  var other: Side { self == .downstream ? .upstream : .downstream }
}

/// Which way bytes move.
enum Direction: UInt8 {
  case toUpstream
  case toDownstream

  /// The side that the bytes come from.
  @inline(__always)
  var source: Side { self == .toUpstream ? .downstream : .upstream }

  /// The side that the bytes go to.
  @inline(__always)
  var sink: Side { self == .toUpstream ? .upstream : .downstream }

  /// The direction whose bytes come from `side`.
  @inline(__always)
  static func from(_ side: Side) -> Direction { side == .downstream ? .toUpstream : .toDownstream }
}

/// One operation: its kind in the upper bits, the direction or side that it belongs to in the lowest.
struct Operation: Equatable {
  enum Kind: UInt8 {
    /// Receive from the direction's source.
    case receive
    /// Send to the direction's sink.
    case send
    /// Wait until the direction's source has bytes.
    case pollSource
    /// Wait until the direction's sink has room.
    case pollSink
    /// Wait for a reset on a side that is not read, for now or any more.
    case watch
    /// Connect to the upstream.
    case connect
    /// Accept on a listener, or wait for a connection to accept. The slot is the listener's number.
    case accept
    /// Wait for mail from the control thread.
    case mail
  }

  var rawValue: UInt8

  @inline(__always)
  private init(_ kind: Kind, _ lowBit: UInt8) { rawValue = kind.rawValue << 1 | lowBit }

  @inline(__always)
  init(rawValue: UInt8) { self.rawValue = rawValue }

  @inline(__always)
  static func receive(_ direction: Direction) -> Operation { Operation(.receive, direction.rawValue) }
  @inline(__always)
  static func send(_ direction: Direction) -> Operation { Operation(.send, direction.rawValue) }
  @inline(__always)
  static func pollSource(_ direction: Direction) -> Operation { Operation(.pollSource, direction.rawValue) }
  @inline(__always)
  static func pollSink(_ direction: Direction) -> Operation { Operation(.pollSink, direction.rawValue) }
  @inline(__always)
  static func watch(_ side: Side) -> Operation { Operation(.watch, side.rawValue) }
  static var connect: Operation { Operation(.connect, 0) }
  static var accept: Operation { Operation(.accept, 0) }
  static var mail: Operation { Operation(.mail, 0) }

  /// Nil for bits that no operation has: only a broken kernel makes them.
  @inline(__always)
  var kind: Kind? { Kind(rawValue: rawValue >> 1) }
  @inline(__always)
  var direction: Direction { rawValue & 1 == 0 ? .toUpstream : .toDownstream }
  @inline(__always)
  var side: Side { rawValue & 1 == 0 ? .downstream : .upstream }
}

/// The operations of one connection that the kernel has not completed.
struct OperationSet {
  private var bits: UInt16 = 0

  @inline(__always)
  var isEmpty: Bool { bits == 0 }
  @inline(__always)
  func contains(_ operation: Operation) -> Bool { bits & 1 << UInt16(operation.rawValue) != 0 }

  /// Inserting an operation that is in flight already is our own bug: its completions could not be told apart.
  @inline(__always)
  mutating func insert(_ operation: Operation) {
    precondition(!contains(operation), "operation \(operation.rawValue) is already in flight")
    bits |= 1 << UInt16(operation.rawValue)
  }

  @inline(__always)
  mutating func remove(_ operation: Operation) { bits &= ~(1 << UInt16(operation.rawValue)) }

  /// Takes one operation out; nil when none is left.
  mutating func popFirst() -> Operation? {
    guard bits != 0 else { return nil }
    let operation = Operation(rawValue: UInt8(truncatingIfNeeded: bits.trailingZeroBitCount))
    remove(operation)
    return operation
  }
}

extension Token {
  /// Bits of the generation that a token carries: a slot would have to be reused 16 million times while one stale
  /// completion is on its way to be mistaken.
  static var generationMask: UInt32 { 0xff_ffff }

  /// Packs slot (32 bits), generation (24) and operation (8, its top bit set so that no token is zero).
  @inline(__always)
  init(slot: UInt32, generation: UInt32, operation: Operation) {
    self.init(
      rawValue: UInt64(slot) << 32 | UInt64(generation & Token.generationMask) << 8
        | UInt64(operation.rawValue | 0x80))
  }

  @inline(__always)
  var slot: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
  @inline(__always)
  var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 8) & Token.generationMask }
  @inline(__always)
  var operation: Operation { Operation(rawValue: UInt8(truncatingIfNeeded: rawValue) & 0x7f) }
}
