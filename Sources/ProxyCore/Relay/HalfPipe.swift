// One direction of a connection: what it has read and not yet passed on, and how it moves bytes. Plain data in the
// connection's slot; the worker's extensions in this folder move the bytes.

import IOUring

/// Bytes on their way, and the memory that they lie in.
struct Piece {
  enum Home: UInt8 {
    /// Nothing is held.
    case none
    /// A receive buffer that all connections of the worker share.
    case buffer
    /// A private chunk: what TLS has written, or what a slow sink did not take.
    case chunk
    /// A large buffer, for bulk.
    case bulk
  }

  var base: UnsafeMutableRawPointer?
  /// Bytes that are dealt with (sent, or read by TLS), and bytes in all.
  var taken: UInt32
  var count: UInt32
  /// Bytes of the application's stream that the piece stands for once it is sealed in TLS records; otherwise 0.
  var sealed: UInt32
  var buffer: BufferID
  var home: Home

  static var none: Piece {
    Piece(base: nil, taken: 0, count: 0, sealed: 0, buffer: BufferID(rawValue: 0), home: .none)
  }

  init(
    base: UnsafeMutableRawPointer?, taken: UInt32 = 0, count: UInt32, sealed: UInt32 = 0,
    buffer: BufferID = BufferID(rawValue: 0), home: Home
  ) {
    self.base = base
    self.taken = taken
    self.count = count
    self.sealed = sealed
    self.buffer = buffer
    self.home = home
  }

  @inline(__always)
  var isEmpty: Bool { home == .none }

  /// What is left to deal with.
  @inline(__always)
  var rest: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { UnsafeRawPointer($0) + Int(taken) }, count: Int(count &- taken))
  }
}

/// One direction of a connection.
struct HalfPipe {
  /// How the bytes move. A half-pipe changes its mode only while it holds nothing.
  enum Mode: UInt8 {
    /// Through shared buffers: best for small messages.
    case buffered
    /// Through a kernel pipe, never in user space: best for bulk.
    case spliced
    /// Through large buffers: bulk in TLS, or where no pipe is to be had.
    case copied
  }

  var mode: Mode
  /// The source has ended; nothing more comes.
  var sourceEnded: Bool
  /// The end was passed on to the sink; the direction is over.
  var sinkEnded: Bool
  /// The sink did not take a piece whole: the rest waits in private memory.
  var sinkIsSlow: Bool
  /// The sink's socket may hold the last bytes back until it is told the end.
  var isHeldBack: Bool
  /// The last receive left bytes in the socket.
  var sourceHasMore: Bool
  /// Consecutive signs that another mode would be better: full receives when buffered, small ones in bulk.
  var modeVotes: UInt8

  /// What is being sent. Credit: a half-pipe reads ahead one piece at the most while another is being sent.
  var sending: Piece
  /// What was read in the meantime. On a TLS connection it is not opened or sealed yet.
  var waiting: Piece

  /// Spliced: the pipe, and the bytes in it.
  var pipe: Pipe
  var pipeBytes: UInt32
  /// See `HalfPipeQueue`.
  var nextInQueue: UInt32
  /// Copied: the large buffer that a receive in flight fills.
  var filling: UnsafeMutableRawPointer?

  /// Bytes of the application's stream: read from the source, and taken by the sink's socket.
  var bytesIn: UInt64
  var bytesOut: UInt64

  static var idle: HalfPipe {
    HalfPipe(
      mode: .buffered, sourceEnded: false, sinkEnded: false, sinkIsSlow: false, isHeldBack: false, sourceHasMore: false,
      modeVotes: 0,
      sending: .none, waiting: .none, pipe: .none, pipeBytes: 0, nextInQueue: 0, filling: nil, bytesIn: 0, bytesOut: 0)
  }

  /// No byte is held in user space.
  @inline(__always)
  var isDrained: Bool { sending.isEmpty && waiting.isEmpty }
}

extension Pipe {
  static var none: Pipe { Pipe(readEnd: .none, writeEnd: .none, capacity: 0) }
}
