// One direction of a connection: what it has read and not yet passed on, and how it moves bytes. Plain data in the
// connection's slot; `Worker+Buffered.swift`, `Worker+Spliced.swift` and `Worker+Copied.swift` move the bytes.

import IOUring

/// Bytes on their way, and the memory that they lie in.
struct Piece {
  enum Home: UInt8 {
    /// Nothing is held.
    case none
    /// A provided receive buffer, shared by all connections of the worker.
    case buffer
    /// A private chunk: the sink is slow, and shared buffers must not wait for it.
    case chunk
    /// The half-pipe's own large buffer; see `HalfPipe.Mode.copied`.
    case bulk
  }

  var base: UnsafeMutableRawPointer?
  /// Bytes already sent, and bytes in all.
  var sent: UInt32
  var count: UInt32
  var buffer: BufferID
  var home: Home

  static var none: Piece { Piece(base: nil, sent: 0, count: 0, buffer: BufferID(rawValue: 0), home: .none) }

  @inline(__always)
  var isEmpty: Bool { home == .none }

  @inline(__always)
  var unsent: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { UnsafeRawPointer($0) + Int(sent) }, count: Int(count &- sent))
  }
}

/// One direction of a connection.
struct HalfPipe {
  /// How the bytes move. A half-pipe changes its mode only while it holds nothing.
  enum Mode: UInt8 {
    /// Through provided buffers: best for small messages.
    case buffered
    /// Through a kernel pipe, never in user space: best for bulk.
    case spliced
    /// Through a large buffer of its own: bulk where no pipe is to be had.
    case copied
  }

  var mode: Mode
  /// The source's FIN was read; nothing more comes.
  var sourceEnded: Bool
  /// The FIN was passed on to the sink; the direction is over.
  var sinkEnded: Bool
  /// Consecutive signs that the other mode would be better: full receives when buffered, small ones in bulk.
  var modeVotes: UInt8

  /// What is being sent. Credit: a half-pipe reads ahead one piece at the most while another is being sent.
  var sending: Piece
  /// What was read in the meantime.
  var waiting: Piece

  /// Spliced: the pipe, and the bytes in it.
  var pipe: Pipe
  var pipeBytes: Int
  /// Copied: the large buffer.
  var bulk: UnsafeMutableRawPointer?

  /// Next in the queue of half-pipes that wait for a provided buffer; see `StarvedQueue`.
  var nextStarved: UInt32

  /// Bytes read from the source, and bytes that the sink's socket took.
  var bytesIn: UInt64
  var bytesOut: UInt64

  static var idle: HalfPipe {
    HalfPipe(
      mode: .buffered, sourceEnded: false, sinkEnded: false, modeVotes: 0, sending: .none, waiting: .none,
      pipe: .none, pipeBytes: 0, bulk: nil, nextStarved: 0, bytesIn: 0, bytesOut: 0)
  }

  /// No byte is held in user space.
  @inline(__always)
  var isDrained: Bool { sending.isEmpty && waiting.isEmpty }
}

extension Pipe {
  static var none: Pipe { Pipe(readEnd: .none, writeEnd: .none, capacity: 0) }
}
