// An in-memory world for a worker: sockets, pipes, descriptors, a network and a clock, in which everything that a real
// kernel may do at its own discretion is decided by a seeded generator. The worker sees it through `SimulatedKernel`;
// clients and servers are `SimulatedActor`s. This file has the state; the extensions hold the world's laws by concern:
// `+Descriptors`, `+Operations`, `+Pipes`, `+Turn`.

import IOUring

/// A client or a server: something that acts when there is something to do, and may sleep.
public protocol SimulatedActor: AnyObject {
  /// Does one thing.
  /// - Returns: when to act again even if nothing happens meanwhile; `.max`: not before something has happened.
  func act() -> UInt64
}

/// What the other side of a connect does.
public enum ConnectOutcome: Sendable {
  /// Established after so many nanoseconds.
  case established(after: UInt64)
  /// Refused with this errno after so many nanoseconds.
  case refused(errno: Int32, after: UInt64)
  /// No answer ever comes.
  case silence
}

/// One thread uses it.
public final class SimulatedWorld {
  public var faults: FaultPlan
  public var sabotage: Sabotage?
  /// Decides what the kernel and the network do; the actors bring their own.
  var random: SeededGenerator

  // Time, in monotonic nanoseconds.
  public internal(set) var clock: UInt64 = 1_000_000_000_000
  /// The clock as the worker saw it last.
  var shownClock: UInt64 = 1_000_000_000_000

  // Descriptors.
  var descriptors: [SimulatedObject?] = []
  /// So many may be open at once; more is EMFILE.
  public var descriptorsMax = 10_000
  public internal(set) var openDescriptorCount = 0

  // Operations.
  var submitted: [Submission] = []
  /// The descriptor of each operation in flight, by token.
  var descriptorOfToken: [UInt64: Int32] = [:]
  /// Descriptors whose operations may have become possible.
  var changedDescriptors: [Int32] = []
  /// Completions of this turn that the worker has not taken yet.
  var turn: [PendingCompletion] = []
  var turnHead = 0
  /// Completions that have happened and are reported by the next `wait`, or later.
  var arisen: [PendingCompletion] = []
  /// Operations on eventfds of the host, which other threads may notify.
  var hostEventPolls: [(token: Token, descriptor: Descriptor)] = []

  // Provided buffers.
  public let bufferSize: Int
  public let bufferCount: Int
  let bufferMemory: UnsafeMutableRawPointer
  var freeBuffers: [UInt16]
  var bufferIsOut: [Bool]
  public var freeBufferCount: Int { freeBuffers.count }

  // The network.
  let socketCapacity: () -> Int
  var streamsInTransit: [SimulatedStream] = []
  /// Every end that ever was; it lives as long as the world, so that late bytes find it closed and not gone.
  var streams: [SimulatedStream] = []
  /// Connects that wait for their answer.
  var connecting: [(at: UInt64, descriptor: Int32)] = []
  /// Asked for every connect: what becomes of it.
  public var connectOutcome: (_ address: String) -> ConnectOutcome = { _ in .silence }
  /// Told of every connection that the worker has established: the far end, the client on whose behalf, if there is one,
  /// and the address that was asked for.
  public var upstreamConnected: (_ server: SimulatedStream, _ client: SimulatedStream?, _ address: String) -> Void = {
    _, _, _ in
  }
  /// The client end behind each connection of the worker's, by what its operations' tokens have in common. Where its
  /// first operation is not on the client's own connection, it is the one that was accepted last, since a worker connects
  /// in answer to accepting.
  var clientOfConnection: [UInt64: SimulatedStream] = [:]
  var acceptedLast: SimulatedStream?
  public internal(set) var acceptedCount = 0

  // Actors.
  public private(set) var actors: [any SimulatedActor] = []
  var runnable: [any SimulatedActor] = []
  var sleeping: [(until: UInt64, actor: any SimulatedActor)] = []

  // What came of it.
  /// Breaches of the caller's duties.
  public internal(set) var violations: [String] = []
  /// The worker sleeps without a deadline, and nothing is left that could ever happen.
  public internal(set) var isSilent = false
  /// A digest of everything that passed between the worker and the world.
  public private(set) var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325
  /// Given every step of the trace as text; for a person who replays a seed.
  public var tracer: ((String) -> Void)?

  public init(
    _ random: SeededGenerator, faults: FaultPlan = .none, bufferSize: Int = 4_096, bufferCount: Int = 16,
    socketCapacity: @escaping () -> Int = { 65_536 }
  ) {
    self.random = random
    self.faults = faults
    self.bufferSize = bufferSize
    self.bufferCount = bufferCount
    self.socketCapacity = socketCapacity
    bufferMemory = .allocate(byteCount: bufferSize * bufferCount, alignment: 16)
    freeBuffers = (0..<UInt16(bufferCount)).map { $0 }
    bufferIsOut = Array(repeating: false, count: bufferCount)
  }

  deinit { bufferMemory.deallocate() }

  // MARK: Actors

  public func add(_ actor: any SimulatedActor) {
    actors.append(actor)
    runnable.append(actor)
  }

  /// Wakes every actor: the rules of the game have changed.
  public func wakeActors() {
    runnable = actors
    sleeping = []
  }

  // MARK: The trace

  func trace(_ what: StaticString, _ first: Int = 0, _ second: Int = 0, _ third: Int = 0) {
    // The name's first and last letters and its length tell the steps apart.
    digest(Int(what.utf8Start[0]) << 16 | Int(what.utf8Start[what.utf8CodeUnitCount - 1]) << 8 | what.utf8CodeUnitCount)
    digest(first)
    digest(second)
    digest(third)
    if let tracer { tracer("\(clock / 1_000) µs  \(what) \(first) \(second) \(third)") }
  }

  /// FNV-1a over whole numbers.
  private func digest(_ number: Int) {
    traceHash = (traceHash ^ UInt64(bitPattern: Int64(number))) &* 0x100_0000_01b3
  }

  func violation(_ text: String) { violations.append(text) }
}
