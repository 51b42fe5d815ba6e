// What the tests of allocations measure: a worker on a real ring, a client and a server around it over loopback, and one
// thread that plays all three. With identities the client speaks mutual TLS, by a session of its own.

import CAllocationCounter
import Glibc
import IOUring
import Metrics
import Testing

@testable import ProxyCore

final class LoopbackBench {
  let metrics = WorkerMetrics.allocate()
  private var worker: Worker<Ring>
  /// Where the listener's counters begin; finding it costs an allocation.
  private let series: Int
  private let wake: Descriptor
  private let acceptor: Int32
  private let client: Int32
  private let server: Int32
  /// The client's end of TLS; nil in the clear.
  private var session: UnsafeMutablePointer<TLSSession>?
  private let engine: TLSEngine
  /// What the client's records are sealed into and opened into.
  private let sealed = UnsafeMutableRawBufferPointer.allocate(byteCount: 300_000, alignment: 16)
  private let opened = UnsafeMutableRawBufferPointer.allocate(byteCount: 300_000, alignment: 16)

  init(identities: ScriptedIdentities? = nil) throws {
    series = WorkerMetrics.series(listener: 0, encryption: identities == nil ? .none : .mutual)
    engine = TLSEngine(now: Int64(time(nil)), sessionsMax: 1)
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
    worker.identity = identities?.server

    let (listener, listenerPort) = try Self.listen()
    let (acceptor, acceptorPort) = try Self.listen()
    self.acceptor = acceptor
    let bind = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: listenerPort)
    let target = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: acceptorPort)
    worker.addListener(
      ListenerID(rawValue: 0), Descriptor(rawValue: listener),
      ListenerPlan(
        Configuration.Listener(
          name: "l", direction: .inbound, bind: bind, target: .address(target), tls: identities == nil ? .off : .strict),
        destination: .addresses([TargetAddress(target)])))

    let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.client = client
    let connected = bind.withSockAddr { connect(client, $0, $1) }
    try #require(connected == 0)
    if let identities {
      session = .allocate(capacity: 1)
      session?.initialize(to: TLSSession(identities.client, role: .client, engine: engine)!)
    }
    var isProved = identities == nil
    while !Self.isRelaying(worker) {
      if let session, !isProved { isProved = Self.shakeHands(session, on: client, sealed) }
      worker.turn()
    }
    Self.awaitReadable(acceptor)
    server = worker.kernel.acceptNow(Descriptor(rawValue: acceptor))
    try #require(server >= 0)
    _ = fcntl(client, F_SETFL, O_NONBLOCK)
    var one: Int32 = 1
    setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    setsockopt(server, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
  }

  deinit {
    session?.deinitialize(count: 1)
    session?.deallocate()
    sealed.deallocate()
    opened.deallocate()
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

  /// Whether the first connection relays.
  private static func isRelaying(_ worker: borrowing Worker<Ring>) -> Bool {
    worker.connections.contains(0) && worker.connections[0].pointee.phase == .relaying
  }

  /// Goes on with the client's handshake by what has come; true once it is complete.
  private static func shakeHands(
    _ session: UnsafeMutablePointer<TLSSession>, on client: Int32, _ area: UnsafeMutableRawBufferPointer
  ) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 32_768, alignment: 1) { received in
      let count = recv(client, received.baseAddress, received.count, Int32(MSG_DONTWAIT))
      var input = InputWindow(UnsafeRawBufferPointer(rebasing: received[..<max(0, count)]))
      var output = OutputWindow(area)
      let outcome = session.pointee.handshake(input: &input, output: &output)
      send(client, area.baseAddress, output.count, Int32(MSG_NOSIGNAL))
      return outcome == .complete
    }
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
    let wire = source == client ? sealing(message) : message
    var sent = 0
    var received = 0
    while received < message.count {
      if sent < wire.count {
        sent += max(0, send(source, wire.baseAddress! + sent, wire.count - sent, Int32(MSG_NOSIGNAL)))
      }
      // A turn sleeps until something happens: it may be taken only while the worker still has bytes to come.
      if relayed - relayedBefore < message.count { worker.turn() } else { Self.awaitReadable(sink) }
      while true {
        let count = recv(sink, scratch.baseAddress!, scratch.count, 0)
        guard count > 0 else { break }
        received += sink == client ? opening(UnsafeRawBufferPointer(rebasing: scratch[..<count])) : count
      }
    }
  }

  /// The client's records of a message; in the clear, the message.
  private func sealing(_ message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    guard let session else { return message }
    var plaintext = InputWindow(message)
    var output = OutputWindow(sealed)
    _ = session.pointee.encrypt(plaintext: &plaintext, output: &output)
    return output.bytes(from: 0)
  }

  /// Bytes of the application's stream in what the client received.
  private func opening(_ received: UnsafeRawBufferPointer) -> Int {
    guard let session else { return received.count }
    var ciphertext = InputWindow(received)
    var plaintext = OutputWindow(opened)
    var answers = OutputWindow()
    _ = session.pointee.decrypt(input: &ciphertext, plaintext: &plaintext, output: &answers)
    return plaintext.count
  }

  var splicedBytes: UInt64 { metrics.load(series + WorkerMetrics.SeriesCell.relayedSplicedBytes.rawValue) }

  /// Bytes that the worker has passed on.
  private var relayed: Int {
    Int(
      metrics.load(series + WorkerMetrics.SeriesCell.relayedBufferedBytes.rawValue)
        + metrics.load(series + WorkerMetrics.SeriesCell.relayedSplicedBytes.rawValue)
        + metrics.load(series + WorkerMetrics.SeriesCell.relayedTLSBytes.rawValue))
  }

  private static func awaitReadable(_ descriptor: Int32) {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    poll(&entry, 1, -1)
  }
}
