// Goal: handshakes of strangers cost established connections no more than a bounded share of each turn, and neither
// silence nor half-done handshakes keep honest peers out. Method: a scripted kernel, a worker with an identity, and
// clients that are real TLS sessions in memory.

import Glibc
import IOUring
import KernelTestSupport
import Metrics
import Testing

@testable import ProxyCore

@Suite struct HandshakeTests {
  private let identities: ScriptedIdentities

  init() throws { identities = try ScriptedIdentities() }

  // MARK: The share of a turn

  /// What a worker does to a client's hello, in the buffer of the client's number: it leaves the shared buffers at once.
  private static func answers(_ client: Int) -> [Step] { [.recycle(UInt16(client))] + step(client) }

  /// One step of a handshake whose input was queued, behind what everybody else has to send.
  private static func step(_ client: Int) -> [Step] { steps(client...client) }

  /// Steps of several handshakes in one turn.
  private static func steps(_ clients: ClosedRange<Int>) -> [Step] {
    [.submit]
      + clients.flatMap { [.sendAnything(.client($0)), .receive(.client($0), expectsData: false)] as [Step] }
  }

  @Test("A turn answers hellos for as long as their share of it lasts, in order; the next one goes on")
  func timedShare() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    bench.script.computingTime = 150_000
    for client in 0..<4 { bench.arrive(.client(client)) }
    bench.turn(
      (0..<4).map { .received(hello, from: .client($0), buffer: UInt16($0)) },
      expecting: (0..<4).map { .recycle(UInt16($0)) } + Self.steps(0...2))
    #expect(!bench.worker.handshakeQueue.isEmpty)
    bench.turn(expecting: Self.step(3))
    #expect(bench.script.deadline == 0, "a turn with handshakes to come must not sleep")
    #expect(bench.worker.handshakeQueue.isEmpty)
  }

  @Test("Where one takes the whole share, each turn answers one of several hellos on a strict listener, in order")
  func strictShare() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    for client in 0..<3 { bench.arrive(.client(client)) }
    bench.turn(
      (0..<2).map { .received(hello, from: .client($0), buffer: UInt16($0)) },
      expecting: [.recycle(0), .recycle(1)] + Self.step(0))
    #expect(!bench.worker.handshakeQueue.isEmpty)
    // Who comes now waits behind those that wait already.
    bench.turn([.received(hello, from: .client(2), buffer: 2)], expecting: [.recycle(2)] + Self.step(1))
    #expect(bench.script.deadline == 0, "a turn with handshakes to come must not sleep")
    bench.turn(expecting: Self.step(2))
    #expect(bench.worker.handshakeQueue.isEmpty)
    #expect(bench.worker.handshakes.inProgress == 3)
  }

  @Test("Where one takes the whole share, each turn answers one hello of the mesh on a permissive listener")
  func permissiveShare() {
    let bench = WorkerBench.withIdentity(identities, tls: .permissive)
    for number in 0..<2 {
      bench.turn(
        [.accepted(.client(number), on: .listener)],
        expecting: [
          .peerAddress(.client(number), is: WorkerBench.clientAddress),
          .receive(.client(number), expectsData: true), .openSocket(AF_INET, gives: .server(number)),
          .configureStream(.server(number)), .connect(.server(number), to: WorkerBench.target),
        ])
    }
    bench.turn(
      (0..<2).map { .received(hello, from: .client($0), buffer: UInt16($0)) },
      expecting: [.recycle(0), .recycle(1)] + Self.step(0))
    bench.turn(expecting: Self.step(1))
    #expect(bench.worker.handshakes.inProgress == 2)
  }

  @Test(
    "An app that speaks while its client's hello waits for the next turn is heard when the client has proved itself")
  func appSpeaksMeanwhile() {
    let bench = WorkerBench.withIdentity(identities, tls: .permissive)
    for number in 0..<2 {
      bench.turn(
        [.accepted(.client(number), on: .listener)],
        expecting: [
          .peerAddress(.client(number), is: WorkerBench.clientAddress),
          .receive(.client(number), expectsData: true), .openSocket(AF_INET, gives: .server(number)),
          .configureStream(.server(number)), .connect(.server(number), to: WorkerBench.target),
        ])
      bench.turn([.connected(.server(number))], expecting: [.receive(.server(number), expectsData: false)])
    }
    bench.turn(
      (0..<2).map { .received(hello, from: .client($0), buffer: UInt16($0)) },
      expecting: [.recycle(0), .recycle(1)] + Self.step(0))
    bench.turn(
      [.received("220 ready", from: .server(1), buffer: 0)], expecting: [.recycle(0)] + Self.step(1))
    #expect(bench.worker.handshakes.inProgress == 2)
  }

  @Test("A flight that is sent while the answer to it waits for its turn does not take the turn of others")
  func flightSentMeanwhile() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    for client in 0..<2 { bench.arrive(.client(client)) }
    bench.turn([.received(hello, from: .client(0), buffer: 0)], expecting: Self.answers(0))
    let flight = bench.script.lastSent[.client(0)] ?? []
    bench.turn(
      [
        .received(hello, from: .client(1), buffer: 1), .received([22], from: .client(0), buffer: 0),
        .sent(flight.count, to: .client(0)),
      ],
      expecting: [.recycle(1), .recycle(0)] + Self.step(1))
    bench.turn(expecting: [.submit, .receive(.client(0), expectsData: false)])
    #expect(bench.worker.handshakes.inProgress == 2)
  }

  @Test("Where one takes the whole share, each turn sends one hello of ours on an outbound listener")
  func outboundShare() {
    let bench = WorkerBench.outbound(identities)
    for number in 0..<2 {
      bench.turn(
        [.accepted(.client(number), on: .listener)],
        expecting: WorkerBench.connecting(.client(number), .server(number), to: WorkerBench.target))
    }
    let hello = { (number: Int) -> [Step] in
      [.submit, .sendAnything(.server(number)), .receive(.server(number), expectsData: false)]
    }
    bench.turn((0..<2).map { .connected(.server($0)) }, expecting: hello(0))
    bench.turn(expecting: hello(1))
    #expect(bench.worker.outboundHandshakesInProgress == 2)
    #expect(bench.worker.handshakes.inProgress == 0, "our own handshakes take no stranger's place")
  }

  @Test("Whoever ran out of time while it waited for its turn is ended in it, and the next one is answered in the same")
  func closedMeanwhile() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    bench.arrive(.client(0))
    bench.script.clock += seconds(1)
    for client in 1..<4 { bench.arrive(.client(client)) }
    bench.turn(
      [1, 2, 0, 3].map { .received(hello, from: .client($0), buffer: UInt16($0)) },
      expecting: [1, 2, 0, 3].map { .recycle(UInt16($0)) } + Self.step(1))
    bench.advance(
      bench.worker.settings.handshakeTimeout - milliseconds(500),
      expecting: Self.step(2) + [.resetOnClose(.client(0)), .cancel(nil)])
    bench.script.computingTime = 150_000
    bench.turn(expecting: [.submit, .close(.client(0))] + Self.step(3).dropFirst())
    #expect(bench.handshakes(.timeout) == 1)
    #expect(bench.worker.handshakes.inProgress == 3)
  }

  @Test("How long a handshake takes is known with the last of its steps")
  func duration() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    let client = ScriptedPeer(identities)
    bench.script.computingTime = milliseconds(3)
    bench.arrive(.client)
    bench.turn(
      [.received(client.answer(), from: .client, buffer: 0)],
      expecting: [.recycle(0), .submit, .sendAnything(.client), .receive(.client, expectsData: false)])
    let flight = bench.script.lastSent[.client] ?? []
    bench.turn([.sent(flight.count, to: .client)], expecting: [])
    bench.turn(
      [.received(client.answer(to: flight), from: .client, buffer: 1)],
      expecting: [
        .recycle(1), .submit, .sendAnything(.client), .openSocket(AF_INET, gives: .server), .configureStream(.server),
        .connect(.server, to: WorkerBench.target),
      ])
    // The first step, the wait for the second one behind what others send, and the second one itself.
    #expect(bench.handshakeNanoseconds == milliseconds(9))
  }

  // MARK: Silence

  @Test("Beyond their number, the connection that has been silent for the longest time goes")
  func silence() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    bench.worker.handshakes.silentMax = 2
    for client in 0..<2 { bench.arrive(.client(client)) }
    // The first one has spoken, and is silent no more.
    bench.turn([.received(hello, from: .client(0), buffer: 0)], expecting: Self.answers(0))
    bench.arrive(.client(2))
    bench.arrive(.client(3), droppingFirst: [.resetOnClose(.client(1)), .cancel(.receive(.client(1)))])
    bench.turn([.failed(.receive(.client(1)), ECANCELED)], expecting: [.close(.client(1))])
    #expect(bench.closedMutual(.handshakeLimit) == 1)
    #expect(bench.handshakes(.aborted) == 1)
    #expect(bench.worker.handshakes.inProgress == 1)
  }

  @Test("Silence gets half of a worker's share of the connections, and at least one")
  func silentShare() {
    for (share, silentMax) in [(1, 1), (2, 1), (3, 1), (4, 2), (10, 5), (1_000_000, 4_096)] {
      var handshakes = HandshakeAdmission(workers: 1)
      var connections = ConnectionTable(capacity: 5_000)
      for arrival in 0..<(silentMax + 2) {
        let slot = Self.arrive(in: &connections)
        let victim = handshakes.arrived(slot, share: share, in: connections)
        #expect(victim == (arrival < silentMax ? nil : UInt32(arrival - silentMax)), "share \(share)")
        if let victim { handshakes.leave(victim, in: connections) }
      }
    }
  }

  // MARK: Handshakes in progress

  @Test(
    "Handshakes get a quarter of a worker's share of the connections, and all workers together a bound on memory",
    arguments: [(1, 1, 1), (1, 7, 1), (2, 200, 50), (2, 1_000_000, 1_024), (8, 1_000_000, 512), (1_000, 1_000_000, 32)])
  func handshakeShare(workers: Int, share: Int, most: Int) {
    var handshakes = HandshakeAdmission(workers: workers)
    var connections = ConnectionTable(capacity: 2_000)
    for arrival in 0..<(most + 1) {
      let slot = Self.arrive(in: &connections)
      let admission = handshakes.begin(slot, share: share, now: 0, in: connections)
      #expect(admission == (arrival < most ? .admitted : .refused))
    }
  }

  @Test("With all places taken, newcomers are refused until the oldest has kept us waiting for too long")
  func placesTaken() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    bench.worker.handshakes.inProgressMax = 2
    for client in 0..<2 {
      bench.arrive(.client(client))
      bench.turn(
        [.received(hello, from: .client(client), buffer: UInt16(client))], expecting: Self.answers(client))
      bench.turn([.sent(1_000, to: .client(client))], expecting: [])
    }
    bench.arrive(.client(2))
    bench.turn(
      [.received(hello, from: .client(2), buffer: 2)],
      expecting: [.resetOnClose(.client(2)), .recycle(2), .close(.client(2))])
    #expect(bench.closedMutual(.handshakeLimit) == 1)

    bench.advance(HandshakeAdmission.patience, expecting: [])
    bench.arrive(.client(3))
    bench.turn(
      [.received(hello, from: .client(3), buffer: 3)],
      expecting: [.resetOnClose(.client(0)), .cancel(.receive(.client(0)))] + Self.answers(3))
    bench.turn([.failed(.receive(.client(0)), ECANCELED)], expecting: [.close(.client(0))])
    #expect(bench.closedMutual(.handshakeLimit) == 2)
    #expect(bench.worker.handshakes.inProgress == 2)
  }

  @Test("A handshake that waits for its turn with us is not the one that goes, however old it is")
  func ownDelayIsNoReason() {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    bench.worker.handshakes.inProgressMax = 1
    let client = ScriptedPeer(identities)
    bench.arrive(.client(0))
    bench.turn([.received(client.answer(), from: .client(0), buffer: 0)], expecting: Self.answers(0))
    // It answers while its flight is still on its way, so that the next step is not the peer's.
    bench.turn([.received([22], from: .client(0), buffer: 1)], expecting: [.recycle(1), .submit])
    bench.arrive(.client(1))
    bench.advance(
      HandshakeAdmission.patience, [.received(hello, from: .client(1), buffer: 2)],
      expecting: [.resetOnClose(.client(1)), .recycle(2), .close(.client(1))])
    #expect(bench.closedMutual(.handshakeLimit) == 1)
    #expect(bench.worker.handshakes.inProgress == 1)
  }

  @Test("A handshake of ours that is one too many is refused, and counted as one")
  func outboundLimit() {
    let bench = WorkerBench.outbound(identities)
    bench.worker.outboundHandshakesMax = 0
    bench.turn(
      [.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: WorkerBench.target))
    bench.turn(
      [.connected(.server)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server)] + WorkerBench.ending())
    #expect(bench.closedMutual(.handshakeLimit) == 1)
    #expect(bench.handshakes(.aborted) == 1)
    bench.expectNothingHeld()
  }

  // MARK: A busy Unix socket behind a permissive listener

  @Test("A Unix socket whose backlog is full is asked again when the client has proved itself, for its own time")
  func busyUnixSocket() throws {
    var timeouts = Configuration.Timeouts()
    timeouts.connect = .seconds(1)
    let path = "unix:/run/app.sock"
    let bench = WorkerBench.withIdentity(
      identities, tls: .permissive, settings: WorkerSettings(timeouts),
      upstream: TargetAddress(unixPath: "/run/app.sock")!)
    let client = ScriptedPeer(identities)
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .receive(.client, expectsData: true),
        .openSocket(AF_UNIX, gives: .server), .connect(.server, to: path),
      ])
    bench.turn(
      [.received(client.answer(), from: .client, buffer: 0)],
      expecting: [.recycle(0), .submit, .sendAnything(.client), .receive(.client, expectsData: false)])
    let flight = bench.script.lastSent[.client] ?? []
    bench.turn([.sent(flight.count, to: .client)], expecting: [])
    bench.turn([.failed(.connect(.server), EAGAIN)], expecting: [])
    // Neither the retry interval nor timeouts.connect ends anything while the handshake has its own time.
    bench.advance(milliseconds(50), expecting: [])
    bench.advance(seconds(2), expecting: [])
    bench.turn(
      [.received(client.answer(to: flight), from: .client, buffer: 1)],
      expecting: [.recycle(1), .submit, .sendAnything(.client), .connect(.server, to: path)])
    #expect(client.isComplete)
    // From here on it is an ordinary attempt, with all of timeouts.connect before it.
    bench.turn([.failed(.connect(.server), EAGAIN)], expecting: [])
    bench.advance(milliseconds(12), expecting: [.connect(.server, to: path)])
    bench.turn(
      [.connected(.server)], expecting: [.receive(.client, expectsData: true), .receive(.server, expectsData: false)])
    #expect(bench.handshakes(.succeeded(resumed: false)) == 1)
    #expect(bench.worker.handshakes.inProgress == 0)
  }

  @Test("After a quiet while a ticket is judged by the present time, not by that of the last handshake")
  func staleTicket() throws {
    /// How long the hello is with which a second connection begins so much later: a ticket makes it longer.
    func helloSize(after seconds: Int64, idle ended: [Step] = []) throws -> Int {
      let bench = try TLSRelay.outbound(identities).bench
      let (client, server) = (Descriptor.client(1), Descriptor.server(1))
      bench.script.clock += UInt64(seconds) * 1_000_000_000
      bench.turn(
        [.accepted(client, on: .listener)],
        expecting: WorkerBench.connecting(client, server, to: WorkerBench.target) + ended + [.notify(.control)])
      bench.turn(
        [.connected(server)], expecting: [.submit, .sendAnything(server), .receive(server, expectsData: false)])
      return bench.script.lastSent[server]?.count ?? 0
    }
    let ended: [Step] = [
      .deliveredBytes(.server, are: nil), .deliveredBytes(.client, are: nil), .cancel(.receive(.client)),
      .cancel(.receive(.server)),
    ]
    #expect(try helloSize(after: 1) > helloSize(after: TLSContext.ticketLifetime, idle: ended) + 32)
  }

  private static func arrive(in connections: inout ConnectionTable) -> UInt32 {
    let slot = connections.take()!
    connections[slot].initialize(
      to: Connection(
        generation: 0, listener: WorkerBench.listenerID, downstream: .none, downstreamAddress: nil, now: 0))
    return slot
  }

  private var hello: [UInt8] { ScriptedPeer(identities).answer() }
}

extension WorkerBench {
  private var mutualSeries: Int { WorkerMetrics.series(listener: Self.listenerID.rawValue, encryption: .mutual) }

  func closedMutual(_ reason: CloseReason) -> UInt64 {
    metrics.load(mutualSeries + WorkerMetrics.closedOffset + Int(reason.rawValue))
  }

  /// Of all handshakes.
  var handshakeNanoseconds: UInt64 {
    metrics.load(mutualSeries + WorkerMetrics.handshakeDurationOffset + HistogramLayout.latency.sumOffset)
  }

  func handshakes(_ result: WorkerMetrics.Handshake) -> UInt64 {
    metrics.load(mutualSeries + WorkerMetrics.handshakeOffset + result.offset)
  }
}
