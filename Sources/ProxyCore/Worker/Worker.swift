// The worker: one thread's share of the proxy. It owns a kernel, listeners, connections, buffers and timers, and
// shares none of them. This file has its state and its loop; the folders Accept, TLS and Relay hold what it does with a
// connection.

import IOUring
import Metrics

/// One worker over a kernel. Specialised for each kernel inside this module; see `WorkerThread`.
struct Worker<K: Kernel & ~Copyable>: ~Copyable {
  var kernel: K
  let links: WorkerLinks
  /// The same as `links.metrics`, `HistogramLayout.latency` and `.lifetime`, as plain values near at hand.
  let metrics: MetricBlock
  let latencyLayout: HistogramLayout
  let lifetimeLayout: HistogramLayout

  var settings: WorkerSettings
  var connections: ConnectionTable
  var timers: TimerWheel
  var listeners: ListenerTable
  var pipes = PipePool()
  /// Rests of messages that slow readers did not take.
  var chunks: ChunkPool
  /// Large buffers for bulk.
  var bulkBuffers: ChunkPool

  /// When to look for memory to give back; `.max` when there is none.
  var trimDueAt: UInt64 = .max
  /// TLS has given memory back to the heap, which the control thread trims.
  var hasFreedHeap = false

  /// Shared buffers that completions have taken and that were not recycled yet.
  var buffersInUse = 0
  var starved = HalfPipeQueue()

  /// Who this sidecar is; nil while nothing uses TLS.
  var identity: TLSContext?
  let tlsEngine: TLSEngine
  /// Connections whose handshake goes on when its turn comes; see `Worker+Handshake.swift`.
  var handshakeQueue = HalfPipeQueue()
  var handshakes: HandshakeAdmission
  /// Last bytes were sent in this turn that wait for their end.
  var hasHeldBack = false
  /// The handshakes in the queue have waited a turn for that.
  var handshakesGaveWay = false
  /// Ours towards upstreams, counted apart so that strangers can't take their places. Each holds about 40 KiB in libssl.
  var outboundHandshakesInProgress = 0
  var outboundHandshakesMax = 1_024

  /// When to try accepting again after descriptors ran out; `.max` when that is not needed.
  var acceptRetryAt: UInt64 = .max
  var acceptRetryDelay = AcceptBackOff.delayMin
  /// When the first of the listeners that are being emptied is to close; `.max` when none is.
  var listenersCloseAt: UInt64 = .max
  /// Listeners wait for `links.budget`.
  var acceptWaitsForBudget = false
  /// Set once a drain has begun: somebody waits for the last connection to end.
  var isDraining = false
  /// Set once every connection was told to end: those that still come out of a closing listener's queue end as well.
  var reasonToCloseArrivals: CloseReason?
  var stops = false
  /// A connection of this worker's own was led back to it; see `Worker+OriginalDestination.swift`.
  var hasSeenLoop = false

  init(kernel: consuming K, links: WorkerLinks, settings: WorkerSettings) {
    let now = kernel.now
    let receiveBufferSize = kernel.receiveBufferSize
    self.kernel = kernel
    self.links = links
    metrics = links.metrics
    latencyLayout = .latency
    lifetimeLayout = .lifetime
    self.settings = settings
    connections = ConnectionTable(capacity: links.slotsMax)
    timers = TimerWheel(now: now)
    tlsEngine = TLSEngine(now: self.kernel.wallClockSeconds(), sessionsMax: links.slotsMax)
    listeners = ListenerTable()
    handshakes = HandshakeAdmission(workers: links.budget.workerCount)
    chunks = ChunkPool(
      chunkSize: WorkerMemory.chunkSize(receiveBufferSize: receiveBufferSize),
      capacity: links.slotsMax * WorkerMemory.chunksPerConnection)
    bulkBuffers = ChunkPool(
      chunkSize: WorkerMemory.bulkBufferSize, capacity: links.slotsMax * WorkerMemory.bulkBuffersPerConnection)
  }

  /// Serves until `WorkerCommand.stop` and the end of the last connection.
  mutating func run() {
    submitMailPoll()
    while !(stops && connections.usedCount == 0 && listeners.isQuiet) {
      turn()
    }
    pipes.closeIdle(&kernel)
  }

  /// One turn of the loop: one entry into the kernel, then everything that it brought.
  mutating func turn() {
    kernel.wait(until: handshakeQueue.isEmpty ? nextDeadline : 0)
    while let completion = kernel.nextCompletion() {
      dispatch(completion)
    }
    advanceQueuedHandshakes()
    expireTimers()
    feedStarved()
    trimMemory()
    recordGauges()
  }

  /// When there is something to do whatever the kernel brings. In pairs: `min` makes an array of more than three.
  @inline(__always)
  private var nextDeadline: UInt64 {
    min(min(timers.nextDeadline, acceptRetryAt), min(listenersCloseAt, trimDueAt))
  }

  /// Nanoseconds between looks for memory to give back.
  private static var trimInterval: UInt64 { 500_000_000 }

  /// Gives back what a burst has left; looks only as long as there may be something.
  @inline(__always)
  private mutating func trimMemory() {
    if kernel.now >= trimDueAt {
      chunks.trim()
      bulkBuffers.trim()
      tlsEngine.state.pointee.partials.trim()
      if hasFreedHeap { kernel.notify(links.controlWake) }
      hasFreedHeap = false
      trimDueAt = .max
    }
    guard trimDueAt == .max,
      hasFreedHeap || chunks.wantsTrim || bulkBuffers.wantsTrim || tlsEngine.state.pointee.partials.wantsTrim
    else { return }
    trimDueAt = kernel.now &+ Self.trimInterval
  }

  private mutating func dispatch(_ completion: Completion) {
    let operation = completion.token.operation
    switch operation.kind {
    case .accept: acceptCompleted(completion)
    case .mail: mailArrived()
    default: connectionCompleted(operation, completion)
    }
  }

  @inline(__always)
  private mutating func connectionCompleted(_ operation: Operation, _ completion: Completion) {
    let slot = completion.token.slot
    guard connections.contains(slot),
      connections[slot].pointee.generation & Token.generationMask == completion.token.generation,
      connections[slot].pointee.inFlight.contains(operation)
    else {
      // Can't happen while the kernel keeps its promises; a stray buffer is given back all the same.
      if let buffer = completion.buffer { kernel.recycle(buffer) }
      return
    }
    let connection = connections[slot]
    connection.pointee.inFlight.remove(operation)
    if completion.buffer != nil { buffersInUse &+= 1 }

    if connection.pointee.phase == .closing {
      closingCompleted(slot, connection, operation, completion)
      return
    }
    switch operation.kind {
    case .receive: receiveCompleted(slot, connection, operation.direction, completion)
    case .send: sendCompleted(slot, connection, operation.direction, result: completion.result)
    case .pollSource, .pollSink: pollCompleted(operation, slot, connection, events: completion.result)
    case .watch: watchCompleted(slot, connection, operation.side, events: completion.result)
    case .connect: connectCompleted(slot, connection, result: completion.result)
    case .accept, .mail, nil: break
    }
  }

  private mutating func recordGauges() {
    metrics.add(WorkerMetrics.Cell.turns.rawValue)
    metrics.store(WorkerMetrics.Cell.slotsInUse.rawValue, UInt64(connections.usedCount))
    metrics.store(WorkerMetrics.Cell.buffersInUse.rawValue, UInt64(buffersInUse))
    metrics.store(WorkerMetrics.Cell.pipesInUse.rawValue, UInt64(pipes.usedCount))
    metrics.store(WorkerMetrics.Cell.chunksInUse.rawValue, UInt64(chunks.usedCount + bulkBuffers.usedCount))
  }

  // MARK: Operations of a connection

  /// Marks an operation as in flight and names it.
  @inline(__always)
  func begin(_ operation: Operation, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> Token {
    connection.pointee.inFlight.insert(operation)
    return Token(slot: slot, generation: connection.pointee.generation, operation: operation)
  }

  /// Asks for an operation that is in flight to end early.
  mutating func cancel(_ operation: Operation, _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    kernel.submitCancel(
      Token(slot: slot, generation: connection.pointee.generation, operation: operation),
      on: connection.descriptor(of: operation))
  }

  @inline(__always)
  mutating func recycle(_ buffer: BufferID) {
    kernel.recycle(buffer)
    buffersInUse &-= 1
  }

  /// Gives back the memory that a piece lies in.
  @inline(__always)
  mutating func release(_ piece: Piece) {
    switch piece.home {
    case .none: break
    case .buffer: recycle(piece.buffer)
    case .chunk: if let base = piece.base { chunks.giveBack(base) }
    case .bulk: if let base = piece.base { bulkBuffers.giveBack(base) }
    }
  }
}
