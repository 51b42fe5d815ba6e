// io_uring as a `Kernel`: the fast path. One ring belongs to one worker thread; only that thread submits.
// This file owns the ring; `Ring+Operations.swift` fills submission entries, `Ring+Receive.swift` watches sockets and
// receives from them, `RingSupport.swift` says what this host can do and explains refusals.

public import CIOUring
import Glibc

/// Sizes of a ring. The defaults are for a worker of the proxy.
public struct RingOptions: Sendable {
  /// Entries of the submission queue; a turn that submits more enters the kernel more than once.
  public var submissionEntries: UInt32 = 1_024
  /// Entries of the completion queue. An overflow is kept by the kernel, but ends multishot operations.
  public var completionEntries: UInt32 = 4_096
  /// Bytes per shared receive buffer.
  public var receiveBufferSize = 16_384
  /// Shared receive buffers, up to 65,536. 64 × 16 KiB = 1 MiB per worker at the most.
  public var receiveBufferCount = 64

  public init() {}
}

/// An io_uring with its shared buffers.
public struct Ring: HostKernel, ~Copyable {
  /// On the heap so that its address is stable: liburing's calls take a pointer.
  @usableFromInline let ring: UnsafeMutablePointer<io_uring>
  /// By descriptor.
  let sockets: Reservation<SocketState>
  var receiveBuffers: ReceiveBuffers

  /// Completions `head..<tail` are this turn's. Both wrap.
  @usableFromInline var completionHead: UInt32 = 0
  @usableFromInline var completionTail: UInt32 = 0
  /// Waits that a ring can't express; `Ring+Nested.swift`.
  var nested: Epoll
  var nestedInFlight = 0
  var isWatchingNested = false
  /// Whether `nested` has completions for this turn.
  @usableFromInline var nestedIsReady = false

  public private(set) var now: UInt64

  /// Sets up a ring that isn't enabled yet: `enable()` ties it to the calling thread.
  public init(options: RingOptions = RingOptions()) throws(RingError) {
    let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
    ring.initialize(to: io_uring())
    do throws(RingError) {
      try Ring.setUp(ring, options: options)
      do throws(RingError) {
        let sockets = try Reservation<SocketState>(count: DescriptorLimit.hard)
        let receiveBuffers = try ReceiveBuffers(
          bufferSize: options.receiveBufferSize, count: options.receiveBufferCount)
        try Ring.restrict(ring)
        nested = try Ring.makeNested()
        self.sockets = sockets
        self.receiveBuffers = receiveBuffers
      } catch {
        io_uring_queue_exit(ring)
        throw error
      }
    } catch {
      ring.deallocate()
      throw error
    }
    self.ring = ring
    now = sidecar_monotonic_nanoseconds()
  }

  deinit {
    // Ends what is in flight.
    io_uring_queue_exit(ring)
    ring.deallocate()
  }

  /// Makes the calling thread the ring's only submitter. Called once, first thing on the worker's thread.
  public mutating func enable() throws(RingError) {
    let enabled = sidecar_enable_ring(ring)
    guard enabled == 0 else { throw RingError(operation: "io_uring_register (ENABLE_RINGS)", errno: -enabled) }
    // Saves the lookup of the ring's descriptor on each enter. Refused only where the kernel is too old: no harm.
    _ = io_uring_register_ring_fd(ring)
    // Nothing here reaches io-wq, whose threads block (`Ring+Nested.swift`); what does anyway must not start a crowd of them.
    var workersMax: [UInt32] = [1, 1]
    _ = io_uring_register_iowq_max_workers(ring, &workersMax)
  }

  // MARK: The turn

  public mutating func wait(until deadline: UInt64) {
    let result: Int32
    if deadline == .max {
      result = io_uring_submit_and_wait(ring, 1)
    } else if deadline <= now {
      result = io_uring_submit_and_get_events(ring)
    } else {
      var completion: UnsafeMutablePointer<io_uring_cqe>?
      var timeout = __kernel_timespec()
      let remaining = deadline &- now
      timeout.tv_sec = Int64(truncatingIfNeeded: remaining / 1_000_000_000)
      timeout.tv_nsec = Int64(truncatingIfNeeded: remaining % 1_000_000_000)
      result = io_uring_submit_and_wait_timeout(ring, &completion, 1, &timeout, nil)
    }
    // A timeout, a signal, and a kernel short of memory or of completion entries are all mended by going on:
    // what was not submitted stays queued for the next turn.
    precondition(
      result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY,
      "io_uring_enter failed with errno \(-result)")
    completionHead = sidecar_cq_head(ring)
    completionTail = sidecar_cq_tail(ring)
    readClock()
  }

  public mutating func readClock() { now = sidecar_monotonic_nanoseconds() }

  public mutating func submit() {
    // Whatever the kernel could not take stays queued for `wait`.
    _ = io_uring_submit(ring)
  }

  @inlinable
  public mutating func nextCompletion() -> Completion? {
    while completionHead != completionTail {
      let entry = sidecar_cqe(ring, completionHead)!.pointee
      completionHead &+= 1
      sidecar_cq_set_head(ring, completionHead)
      // Zero marks entries that nobody waits for, such as a cancellation that came too late.
      if entry.user_data == 0 { continue }
      let completion = Completion(
        token: Token(rawValue: entry.user_data), result: entry.res, flags: Completion.Flags(rawValue: entry.flags))
      if !completion.token.isOfTheKernel { return completion }
      if let received = takeOwn(completion) { return received }
    }
    return nestedIsReady ? nextOfNested() : nil
  }

  /// A completion that the ring itself has asked for, and what it completes for the worker.
  @usableFromInline
  mutating func takeOwn(_ completion: Completion) -> Completion? {
    guard completion.token != Ring.nestedToken else {
      // A poll reports events, a no-operation zero.
      takeNested(wasPoll: completion.result != 0)
      return nil
    }
    return takeAnnouncement(
      WatchToken(rawValue: completion.token.rawValue), result: completion.result, isFinal: completion.isFinal)
  }

  // MARK: Shared receive buffers

  public var receiveBufferSize: Int { receiveBuffers.bufferSize }
  public var receiveBufferCount: Int { receiveBuffers.count }
  public func receiveBuffer(_ buffer: BufferID) -> UnsafeMutableRawPointer { receiveBuffers.address(buffer) }
  public mutating func recycle(_ buffer: BufferID) { receiveBuffers.giveBack(buffer) }
}
