// The seam between the proxy and the operating system. A worker is generic over `Kernel` and specialised at compile
// time, so that the same relay runs on io_uring (`Ring`), on epoll, and in an in-memory world under test.
//
// Two kinds of verb. `submit…` starts an operation and returns at once; its outcome comes as a `Completion` that
// carries the operation's token. All others act at once and return their result. Results follow the kernel's own
// convention: zero or positive on success, `-errno` on failure. Nothing here throws.

/// A file descriptor, owned by whoever holds it last; closed by `Kernel.close` only.
@frozen
public struct Descriptor: Equatable, Sendable {
  public var rawValue: Int32

  @inlinable
  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Stands for "no descriptor".
  @inlinable
  public static var none: Descriptor { Descriptor(rawValue: -1) }

  @inlinable
  public var isOpen: Bool { rawValue >= 0 }
}

/// Names one submitted operation. The submitter chooses the bits; the kernel returns them unread.
/// Zero and those whose uppermost byte is all ones are reserved for the kernel's own use.
@frozen
public struct Token: Equatable, Sendable {
  public var rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  var isOfTheKernel: Bool { rawValue >> 56 == 0xff }
}

/// The outcome of a submitted operation.
@frozen
public struct Completion: Sendable {
  public var token: Token
  /// Zero or positive: the operation's result. Negative: `-errno`.
  public var result: Int32
  public var flags: Flags

  /// The bits of `io_uring_cqe.flags`, which the other kernels imitate.
  @frozen
  public struct Flags: OptionSet, Sendable {
    public var rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A shared buffer was consumed; `Completion.buffer` names it. IORING_CQE_F_BUFFER.
    @inlinable
    public static var buffer: Flags { Flags(rawValue: 1 << 0) }
    /// The operation is multishot and still armed. IORING_CQE_F_MORE.
    @inlinable
    public static var more: Flags { Flags(rawValue: 1 << 1) }
    /// The socket held more bytes than this receive took. IORING_CQE_F_SOCK_NONEMPTY.
    @inlinable
    public static var socketNonEmpty: Flags { Flags(rawValue: 1 << 2) }
    /// These are the last bytes: the next receive would find the end of the stream. Where the flag is missing that may be so as
    /// well. io_uring has no such flag.
    @inlinable
    public static var lastBytes: Flags { Flags(rawValue: 1 << 8) }
  }

  @inlinable
  public init(token: Token, result: Int32, flags: Flags = []) {
    self.token = token
    self.result = result
    self.flags = flags
  }

  /// The shared buffer that this completion consumed, if it consumed one. The upper half of the flags.
  @inlinable
  public var buffer: BufferID? {
    flags.contains(.buffer) ? BufferID(rawValue: UInt16(truncatingIfNeeded: flags.rawValue >> 16)) : nil
  }

  @inlinable
  public var isFinal: Bool { !flags.contains(.more) }
}

/// One of the shared receive buffers.
@frozen
public struct BufferID: Equatable, Sendable {
  public var rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }
}

/// Readiness that a poll waits for; errors and hang-ups are always reported. poll(2).
@frozen
public enum Readiness: Sendable {
  case readable
  case writable
  /// Nothing but an error or both directions gone: tells of a reset on a socket that nobody reads.
  case hangUp
}

/// How a send treats a socket whose buffer is full.
@frozen
public enum SendMode: Sendable {
  /// Takes what fits and completes within the same turn, with a short count or `-EAGAIN`. MSG_DONTWAIT.
  case immediate
  /// The same, for bytes behind which more follow at once, or the end: both may go in one segment. Where nothing follows
  /// they go later, by Linux' TCP after a retransmission timeout, which is 200 ms or more. MSG_MORE.
  case immediateBeforeMore
  /// Completes when all is sent, or with an error; a short count is possible all the same.
  case complete
}

/// Which direction of a connection `shutdown` ends. shutdown(2).
@frozen
public enum ShutdownDirection: Int32, Sendable {
  case write = 1
  case both = 2
}

/// Everything that a worker can do to the world.
///
/// Rules that each implementation keeps, and that the conformance suite pins down:
/// - every submitted operation completes exactly once without `.more`, also after `submitCancel`;
/// - descriptors, buffers and addresses that were submitted stay valid until that final completion;
/// - at most one send per descriptor is in flight (the caller's duty; two would reorder bytes), and likewise one
///   receive or accept, and one poll for each readiness;
/// - completions of one turn may come in any order across operations;
/// - an operation on a descriptor is finished before the descriptor is closed (the caller's duty).
public protocol Kernel: ~Copyable {
  // MARK: The turn

  /// Monotonic nanoseconds, read once per turn, and by `readClock`.
  var now: UInt64 { get }

  /// Brings `now` up to this moment, after something that takes long within a turn.
  mutating func readClock()

  /// Seconds since the Unix epoch, by the clock that certificates expire by.
  func wallClockSeconds() -> Int64

  /// Hands over all that was submitted and waits for at least one completion, or until `deadline` (monotonic
  /// nanoseconds; `.max` waits for ever). A signal may end it early.
  mutating func wait(until deadline: UInt64)

  /// Hands over what was submitted so far, so that it doesn't wait for whatever the caller does before its next `wait`.
  /// What completes thereby belongs to the next turn.
  mutating func submit()

  /// The next completion of this turn. Completions that arise after `wait` returned belong to the next turn.
  mutating func nextCompletion() -> Completion?

  // MARK: Operations that complete later

  /// Accepts connections, non-blocking and close-on-exec; each completion's result is a new descriptor.
  /// A multishot accept stays armed for as long as its completions carry `.more`. The listener is non-blocking.
  mutating func submitAccept(_ listener: Descriptor, multishot: Bool, token: Token)

  /// connect(2). `address` stays valid until the completion.
  mutating func submitConnect(
    _ socket: Descriptor, address: UnsafeRawPointer, length: UInt32, token: Token)

  /// Receives once into a shared buffer. Result: bytes, 0 at end of stream, `-ENOBUFS` when no buffer is free.
  /// `expectsData: false` skips the first attempt and waits for readiness: cheaper on a drained socket.
  mutating func submitReceive(_ socket: Descriptor, expectsData: Bool, token: Token)

  /// Receives what is there into memory of the caller, within the next turn: bytes, 0 at end of stream, `-EAGAIN` when there is
  /// nothing.
  mutating func submitReceive(_ socket: Descriptor, into buffer: UnsafeMutableRawBufferPointer, token: Token)

  /// Sends `bytes`, which stay untouched until the completion. Never raises SIGPIPE.
  mutating func submitSend(_ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, mode: SendMode, token: Token)

  /// Completes once when the descriptor is ready; the result is a mask of poll(2) events.
  mutating func submitPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token)

  /// Asks for the operation that `target` names to end early; `descriptor` is the one that it was submitted for. It
  /// completes all the same: with `-ECANCELED`, or with its outcome if that was faster. The cancellation itself has no
  /// completion.
  mutating func submitCancel(_ target: Token, on descriptor: Descriptor)

  // MARK: Shared receive buffers

  /// Bytes that one shared buffer holds.
  var receiveBufferSize: Int { get }
  /// How many shared buffers there are.
  var receiveBufferCount: Int { get }
  func receiveBuffer(_ buffer: BufferID) -> UnsafeMutableRawPointer
  /// Gives a consumed buffer back. Its bytes are void from here on.
  mutating func recycle(_ buffer: BufferID)

  // MARK: Operations that happen now

  /// Takes one connection that already waits: a new descriptor, `-EAGAIN` when there is none, or `-errno`. accept4(2).
  mutating func acceptNow(_ listener: Descriptor) -> Int32
  /// Keeps clients that begin to connect from now on out of a listening socket's queue, without refusing them, until it is
  /// closed. What is in the queue stays there, and who has begun still gets there; but what comes out of the queue is deaf
  /// until `hearAgain`.
  mutating func stopQueueing(_ listener: Descriptor)
  /// For a connection that was accepted after `stopQueueing`, before anything else.
  mutating func hearAgain(_ socket: Descriptor)
  /// A non-blocking, close-on-exec stream socket of an address family (AF_INET, AF_INET6, AF_UNIX), or `-errno`.
  mutating func openSocket(family: Int32) -> Int32
  /// TCP_NODELAY for a TCP socket.
  mutating func configureStream(_ socket: Descriptor)
  /// Has the kernel ask a silent TCP peer now and then whether it is still there. SO_KEEPALIVE and tcp(7).
  mutating func keepAlive(_ socket: Descriptor)
  /// The other end is on this host: no network is to be spared on the way. See `StreamOptions.sendUnpaced`.
  mutating func sendUnpaced(_ socket: Descriptor)
  /// Sends what `SendMode.immediateBeforeMore` holds back: nothing follows soon after all.
  mutating func sendHeldBack(_ socket: Descriptor)
  /// The address of the other side; `-errno` if the socket is no longer connected. getpeername(2).
  mutating func peerAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32
  /// The socket's own address. getsockname(2).
  mutating func localAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32
  /// Where the connection was headed before netfilter redirected it, or `-errno`. SO_ORIGINAL_DST.
  mutating func originalDestination(
    _ socket: Descriptor, isIPv6: Bool, into storage: UnsafeMutableRawBufferPointer
  ) -> Int32
  /// A non-blocking pipe of about `capacity` bytes, or the errno that refused it.
  mutating func openPipe(capacity: Int) -> Result<Pipe, KernelError>
  /// Moves bytes between a socket and a pipe without copying. Bytes moved, 0 at end of input, or `-errno`: `-EAGAIN` also for
  /// ever where the socket has come to urgent data, which only a receive gets past. splice(2).
  mutating func splice(from: Descriptor, to: Descriptor, count: Int) -> Int
  /// Bytes that the peer has acknowledged, as long as others are on their way to it; nil where none are, or nobody can tell (a
  /// Unix socket). TCP_INFO, tcp(7).
  mutating func deliveredBytes(_ socket: Descriptor) -> UInt64?
  /// Whether a receive would find bytes, the end or an error now. poll(2).
  mutating func isReadable(_ socket: Descriptor) -> Bool
  mutating func shutdown(_ socket: Descriptor, _ direction: ShutdownDirection) -> Int32
  /// The number is free at once; the far end learns of it by the end of the next `wait`.
  mutating func close(_ descriptor: Descriptor)
  /// Makes the following `close` send a reset in place of a FIN and drop what is unsent. SO_LINGER with zero.
  mutating func resetOnClose(_ socket: Descriptor)
  /// Drops what has arrived and nobody reads any more, up to a bound: Linux makes the close of a socket with unread bytes a
  /// reset, which takes what is unsent along. MSG_TRUNC in tcp(7).
  mutating func discardInput(_ socket: Descriptor)
  /// Wakes the thread that waits for an eventfd. eventfd(2).
  mutating func notify(_ event: Descriptor)
  /// Takes the notifications of an eventfd, so that it is no longer readable.
  mutating func acknowledge(_ event: Descriptor)
}

/// Both ends of a pipe.
@frozen
public struct Pipe: Sendable {
  public var readEnd: Descriptor
  public var writeEnd: Descriptor
  /// Bytes that the kernel granted.
  public var capacity: Int

  @inlinable
  public init(readEnd: Descriptor, writeEnd: Descriptor, capacity: Int) {
    self.readEnd = readEnd
    self.writeEnd = writeEnd
    self.capacity = capacity
  }
}

/// A refused system call.
@frozen
public struct KernelError: Error, Equatable {
  /// A positive errno.
  public var errno: Int32

  @inlinable
  public init(errno: Int32) { self.errno = errno }
}
