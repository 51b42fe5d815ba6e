// Goal: a relayed message costs no heap allocation and no reference counting. Method: a worker on a real ring and a pair
// of loopback connections through it, all on this thread; after a warm-up, the thread's counters (CAllocationCounter)
// are read around a thousand messages each way. A control shows that the counters count.
//
// Without optimisation the compiler emits releases of nothing (swift_release of a null reference), which count like any
// other: a debug build is held to no allocations and no retains.

import CAllocationCounter
import Glibc
import IOUring
import Metrics
import Testing

@testable import ProxyCore

@Suite struct AllocationTests {
  /// Without this, zero would prove nothing.
  @Test func countersCount() throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let before = allocation_counter_read()
    Box.kept = Box(Int(getpid()))
    Box.kept = nil
    let after = allocation_counter_read()
    #expect(after.allocations >= before.allocations + 1)
    #expect(after.deallocations >= before.deallocations + 1)
    #expect(after.releases > before.releases)
  }

  @Test("Small messages", arguments: [1, 64, 4_096])
  func messages(size: Int) throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let bench = try LoopbackBench()
    let bytes = [UInt8](repeating: 7, count: size)
    _ = bench.pingPong(bytes, rounds: 100)
    expectNothing(bench.pingPong(bytes, rounds: 1_000))
  }

  /// Larger than what a socket takes at once: short sends, private chunks, and splicing through a pooled pipe.
  @Test func bulk() throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let bench = try LoopbackBench()
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    _ = bench.pingPong(bytes, rounds: 4)
    expectNothing(bench.pingPong(bytes, rounds: 16))
    #expect(bench.splicedBytes > 0, "the bulk path was not taken")
  }

  private func expectNothing(_ counts: allocation_counts) {
    #expect(counts.allocations == 0)
    #expect(counts.deallocations == 0)
    #expect(counts.retains == 0)
    #if !DEBUG
      #expect(counts.releases == 0)
    #endif
  }
}

private final class Box {
  /// Out of the optimiser's sight, so that it can't do without the allocation. One test uses it.
  nonisolated(unsafe) static var kept: Box?

  let number: Int
  init(_ number: Int) { self.number = number }
}

/// A worker on a ring, a client and a server around it, and one thread that plays all three.
private final class LoopbackBench {
  let metrics = WorkerMetrics.allocate()
  private var worker: Worker<Ring>
  /// Where the listener's counters begin; finding it costs an allocation.
  private let series = WorkerMetrics.series(listener: 0, encryption: .none)
  private let wake: Descriptor
  private let acceptor: Int32
  private let client: Int32
  private let server: Int32

  init() throws {
    var ring = try Ring()
    try ring.enable()
    wake = try EventDescriptor.make()
    let budget = ConnectionBudget(limit: 1_000_000, workerWakes: [wake])
    worker = Worker(
      kernel: ring,
      links: WorkerLinks(
        index: 0, mailbox: Mailbox(wakeDescriptor: wake), metrics: metrics, accessLog: nil, budget: budget,
        controlWake: wake, slotsMax: 16),
      settings: WorkerSettings(Configuration.Timeouts()))

    let (listener, listenerPort) = try Self.listen()
    let (acceptor, acceptorPort) = try Self.listen()
    self.acceptor = acceptor
    let bind = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: listenerPort)
    let target = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: acceptorPort)
    worker.addListener(
      ListenerID(rawValue: 0), Descriptor(rawValue: listener),
      ListenerPlan(
        Configuration.Listener(name: "l", direction: .inbound, bind: bind, target: .address(target)),
        destination: .addresses([TargetAddress(target)])))

    let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.client = client
    let connected = bind.withSockAddr { connect(client, $0, $1) }
    try #require(connected == 0)
    while !worker.connections.contains(0) || worker.connections[0].pointee.phase != .relaying { worker.turn() }
    Self.awaitReadable(acceptor)
    server = worker.kernel.acceptNow(Descriptor(rawValue: acceptor))
    try #require(server >= 0)
    _ = fcntl(client, F_SETFL, O_NONBLOCK)
    var one: Int32 = 1
    setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    setsockopt(server, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
  }

  deinit {
    for descriptor in [client, server, acceptor, wake.rawValue] { close(descriptor) }
    metrics.deallocate()
  }

  private static func listen() throws -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    let any = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    try #require(any.withSockAddr { bind(descriptor, $0, $1) } == 0)
    try #require(Glibc.listen(descriptor, 16) == 0)
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutableBytes(of: &storage) { bytes in
      getsockname(descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
    }
    try #require(result == 0)
    return (descriptor, try #require(SocketAddress(storage: storage)).port)
  }

  /// Sends a message to the server and back, `rounds` times, and counts what that cost this thread.
  func pingPong(_ message: [UInt8], rounds: Int) -> allocation_counts {
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { scratch.deallocate() }
    return message.withUnsafeBytes { message in
      let before = allocation_counter_read()
      for _ in 0..<rounds {
        carry(message, from: client, to: server, scratch)
        carry(message, from: server, to: client, scratch)
      }
      let after = allocation_counter_read()
      return allocation_counts(
        allocations: after.allocations - before.allocations,
        deallocations: after.deallocations - before.deallocations,
        retains: after.retains - before.retains, releases: after.releases - before.releases)
    }
  }

  private func carry(
    _ message: UnsafeRawBufferPointer, from source: Int32, to sink: Int32, _ scratch: UnsafeMutableRawBufferPointer
  ) {
    let relayedBefore = relayed
    var sent = 0
    var received = 0
    while received < message.count {
      if sent < message.count {
        sent += max(0, send(source, message.baseAddress! + sent, message.count - sent, Int32(MSG_NOSIGNAL)))
      }
      // A turn sleeps until something happens: it may be taken only while the worker still has bytes to come.
      if relayed - relayedBefore < message.count { worker.turn() } else { Self.awaitReadable(sink) }
      while true {
        let count = recv(sink, scratch.baseAddress!, scratch.count, 0)
        guard count > 0 else { break }
        received += count
      }
    }
  }

  var splicedBytes: UInt64 { metrics.load(series + WorkerMetrics.SeriesCell.relayedSplicedBytes.rawValue) }

  /// Bytes that the worker has passed on.
  private var relayed: Int {
    Int(
      metrics.load(series + WorkerMetrics.SeriesCell.relayedBufferedBytes.rawValue)
        + metrics.load(series + WorkerMetrics.SeriesCell.relayedSplicedBytes.rawValue))
  }

  private static func awaitReadable(_ descriptor: Int32) {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    poll(&entry, 1, -1)
  }
}
