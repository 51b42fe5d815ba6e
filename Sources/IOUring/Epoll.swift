// epoll as a `Kernel`, for hosts that refuse io_uring: the same operations and completions, so that the worker runs
// unchanged. This file owns the epoll instance and runs the turn; `Epoll+Operations.swift` starts operations,
// `Epoll+Progress.swift` carries them on when a descriptor gets ready.
//
// An operation is tried when it is submitted, unless the descriptor is known not to be ready, and waits for an edge
// otherwise. Each descriptor is registered once, edge-triggered, when something first waits on it, and what an edge
// told is remembered. A relayed message costs one recv(2), one send(2) and its share of one epoll_wait(2).

import CIOUring
import Glibc

/// Sizes of an epoll kernel. The defaults are for a worker of the proxy.
public struct EpollOptions: Sendable {
  /// Bytes per shared receive buffer.
  public var receiveBufferSize = 16_384
  /// Shared receive buffers, up to 65,536. 64 × 16 KiB = 1 MiB per worker at the most.
  public var receiveBufferCount = 64
  /// False where nobody accepts or receives: bytes that come don't wake those who wait to send.
  var receives = true

  public init() {}
}

/// An epoll instance with its shared buffers. One thread uses it.
public struct Epoll: HostKernel, ~Copyable {
  let epoll: Int32
  /// What is asked for once something waits to send. Not earlier: a Unix socket raises EPOLLOUT whenever its peer reads.
  let writeInterest: UInt32
  let table: DescriptorTable
  private let events: UnsafeMutablePointer<epoll_event>
  var completions: CompletionList

  var receiveBuffers: ReceiveBuffers

  public private(set) var now: UInt64
  /// Whether the last turn was served without asking for events.
  private var hasSkippedEvents = false

  /// Events taken per epoll_wait(2); what is left comes with the next one.
  private static var eventsMax: Int { 256 }
  /// - Throws: the errno of epoll_create1(2) or of mmap(2), with the mend.
  public init(options: EpollOptions = EpollOptions()) throws(RingError) {
    let descriptors = DescriptorLimit.hard
    // Every operation of every descriptor can complete in one turn; accepted descriptors are descriptors too.
    let completions = try CompletionList(capacity: descriptors * (OperationKind.count + 1))
    let table = try DescriptorTable(capacity: descriptors)
    let receiveBuffers = try ReceiveBuffers(
      bufferSize: options.receiveBufferSize, count: options.receiveBufferCount)
    let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else { throw RingError(operation: "epoll_create1", errno: errno) }
    self.epoll = epoll
    writeInterest = options.receives ? Epoll.readInterest | EPOLLOUT.rawValue : EPOLLET.rawValue | EPOLLOUT.rawValue
    self.table = table
    self.completions = completions
    self.receiveBuffers = receiveBuffers
    events = .allocate(capacity: Epoll.eventsMax)
    now = sidecar_monotonic_nanoseconds()
  }

  deinit {
    _ = Glibc.close(epoll)
    events.deallocate()
  }

  // MARK: The turn

  public mutating func wait(until deadline: UInt64) {
    completions.beginTurn()
    // Completions from submissions (sends, for the most part) make a turn of their own, without a system call; but
    // not two in a row, or they could keep the events out, and not for who has something else to do and asks what there is.
    hasSkippedEvents = !completions.isEmpty && !hasSkippedEvents && deadline > now
    if hasSkippedEvents {
      readClock()
    } else {
      waitForEvents(until: deadline)
    }
    completions.endTurn()
  }

  private mutating func waitForEvents(until deadline: UInt64) {
    repeat {
      let count = epoll_wait(epoll, events, Int32(Epoll.eventsMax), waitMilliseconds(until: deadline))
      precondition(count >= 0 || errno == EINTR, "epoll_wait failed with errno \(errno)")
      readClock()
      // A signal ends the turn, as it does on a ring.
      guard count >= 0 else { return }
      for index in 0..<Int(count) {
        let event = events[index]
        handle(
          event.events, descriptor: Int32(truncatingIfNeeded: event.data.u64 & 0xFFFF_FFFF),
          generation: UInt32(truncatingIfNeeded: event.data.u64 >> 32))
      }
      // An edge that completed nothing (a part of a send, data that nobody reads) does not end the turn.
    } while completions.isEmpty && now < deadline
  }

  /// The timeout for epoll_wait(2): rounded up, so that the deadline has passed when it expires.
  private func waitMilliseconds(until deadline: UInt64) -> Int32 {
    if !completions.isEmpty || deadline <= now { return 0 }
    if deadline == .max { return -1 }
    let milliseconds = (deadline - now - 1) / 1_000_000 + 1
    return Int32(truncatingIfNeeded: min(milliseconds, UInt64(Int32.max)))
  }

  public mutating func readClock() { now = sidecar_monotonic_nanoseconds() }

  /// Submissions act at once here.
  public mutating func submit() {}

  public mutating func nextCompletion() -> Completion? { completions.next() }

  /// Whether something has completed that the next turn will serve.
  var hasCompletions: Bool { completions.hasMore }

  // MARK: Shared receive buffers

  public var receiveBufferSize: Int { receiveBuffers.bufferSize }
  public var receiveBufferCount: Int { receiveBuffers.count }
  public func receiveBuffer(_ buffer: BufferID) -> UnsafeMutableRawPointer { receiveBuffers.address(buffer) }
  public mutating func recycle(_ buffer: BufferID) { receiveBuffers.giveBack(buffer) }
}
