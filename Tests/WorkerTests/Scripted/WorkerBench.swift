// A worker on a kernel that the test plays: what the scripted tests share. Each test says, turn by turn, which
// completions the kernel brings and which calls the worker must make of them, in order and nothing else.

import Glibc
import IOUring
import KernelTestSupport
import Metrics
import Testing

@testable import ProxyCore

/// The descriptors of the scripts. Numbers no process here can have, so that a stray system call hits nothing.
extension Descriptor {
  static let listener = Descriptor(rawValue: 1_000_003)
  static let client = Descriptor(rawValue: 1_000_010)
  static let server = Descriptor(rawValue: 1_000_020)
  static let secondServer = Descriptor(rawValue: 1_000_021)
  static let control = Descriptor(rawValue: 1_000_030)
  static let log = Descriptor(rawValue: 1_000_031)
  static let mail = Descriptor(rawValue: 1_000_032)
  static let pipeOut = Descriptor(rawValue: 1_000_040)
  static let pipeIn = Descriptor(rawValue: 1_000_041)
}

extension Pipe {
  static let scripted = Pipe(readEnd: .pipeOut, writeEnd: .pipeIn, capacity: PipePool.capacity)
}

/// Nanoseconds in the units of the scripts.
func milliseconds(_ count: UInt64) -> UInt64 { count * 1_000_000 }
func seconds(_ count: UInt64) -> UInt64 { count * 1_000_000_000 }

final class WorkerBench {
  static let clientAddress = "10.0.0.9:40000"
  static let listenerID = ListenerID(rawValue: 0)
  static let bind = SocketAddress("0.0.0.0:15006")!

  let script: Script
  let metrics = WorkerMetrics.allocate()
  let accessLog = AccessRecordQueue(wakeDescriptor: .log)
  let mailbox = Mailbox(wakeDescriptor: .mail)
  let budget: ConnectionBudget
  var worker: Worker<ScriptedKernel>

  init(
    settings: WorkerSettings = WorkerSettings(Configuration.Timeouts()), limit: Int = 1_000_000,
    bufferSize: Int = 16, bufferCount: Int = 4, slotsMax: Int = 8, clock: UInt64 = 1_000_000_000_000
  ) {
    script = Script(bufferSize: bufferSize, bufferCount: bufferCount, clock: clock)
    script.names = [
      .listener: "listener", .client: "client", .server: "server", .secondServer: "second server",
      .control: "control", .log: "log", .mail: "mail", .pipeIn: "pipe in", .pipeOut: "pipe out",
    ]
    budget = ConnectionBudget(limit: limit, workerWakes: [.mail])
    worker = Worker(
      kernel: ScriptedKernel(script),
      links: WorkerLinks(
        index: 0, mailbox: mailbox, metrics: metrics, accessLog: accessLog, budget: budget, controlWake: .control,
        slotsMax: slotsMax),
      settings: settings)
  }

  deinit {
    // Most scripts leave their connections in the middle of something.
    for slot in 0..<worker.connections.highWater { worker.connections[slot].freeTLS() }
    metrics.deallocate()
  }

  // MARK: Turns

  /// One turn: the kernel completes `events`, and the worker must answer with `steps`.
  func turn(
    _ events: [Event] = [], expecting steps: [Step], sourceLocation: Testing.SourceLocation = #_sourceLocation
  ) {
    script.begin(completing: events, expecting: steps)
    worker.turn()
    check(sourceLocation)
  }

  /// A turn that begins by the clock alone.
  func advance(
    _ nanoseconds: UInt64, _ events: [Event] = [], expecting steps: [Step],
    sourceLocation: Testing.SourceLocation = #_sourceLocation
  ) {
    script.clock += nanoseconds
    turn(events, expecting: steps, sourceLocation: sourceLocation)
  }

  /// What a call of a part of the worker does, outside of any turn.
  func direct(
    expecting steps: [Step], sourceLocation: Testing.SourceLocation = #_sourceLocation, _ body: () -> Void
  ) {
    script.begin(completing: [], expecting: steps)
    body()
    check(sourceLocation)
  }

  /// What the worker does when the control thread's commands reach it.
  func command(
    _ commands: WorkerCommand..., expecting steps: [Step], sourceLocation: Testing.SourceLocation = #_sourceLocation
  ) {
    if script.token(of: .poll(.mail, .readable)) == nil {
      script.begin(completing: [], expecting: [.poll(.mail, .readable)])
      worker.submitMailPoll()
      check(sourceLocation)
    }
    for command in commands { mailbox.post(command) }
    turn(
      [.ready(.mail, .readable, events: POLLIN)],
      expecting: [.acknowledge(.mail)] + steps + [.poll(.mail, .readable)], sourceLocation: sourceLocation)
  }

  private func check(_ sourceLocation: Testing.SourceLocation) {
    if let difference = script.end() { Issue.record(Comment(rawValue: difference), sourceLocation: sourceLocation) }
  }

  // MARK: Common beginnings

  static func plan(_ destination: ListenerPlan.Destination) -> ListenerPlan {
    let target = Target.originalDestination
    return ListenerPlan(
      Configuration.Listener(name: "inbound", direction: .inbound, bind: bind, target: target),
      destination: destination)
  }

  static func plan(to targets: String...) -> ListenerPlan {
    plan(.addresses(targets.map { TargetAddress(SocketAddress($0)!) }))
  }

  /// A listener whose accept is armed.
  func listen(_ plan: ListenerPlan, sourceLocation: Testing.SourceLocation = #_sourceLocation) {
    script.begin(completing: [], expecting: [.accept(.listener)])
    worker.addListener(Self.listenerID, .listener, plan)
    check(sourceLocation)
  }

  /// Whatever is done for a connection between accepting and connecting.
  static func connecting(_ client: Descriptor = .client, _ server: Descriptor = .server, to target: String) -> [Step] {
    [
      .peerAddress(client, is: clientAddress), .openSocket(AF_INET, gives: server), .configureStream(server),
      .connect(server, to: target),
    ]
  }

  /// One connection that relays: both sides are being read.
  func relay(_ client: Descriptor = .client, _ server: Descriptor = .server) {
    if worker.listeners[Self.listenerID] == nil { listen(Self.plan(to: "127.0.0.1:8080")) }
    turn(
      [.accepted(client, on: .listener)], expecting: Self.connecting(client, server, to: "127.0.0.1:8080"))
    turn(
      [.connected(server)],
      expecting: [.receive(client, expectsData: true), .receive(server, expectsData: false)])
  }

  /// The same to an application that listens on a Unix socket.
  func relayToUnix() {
    listen(Self.plan(.addresses([TargetAddress(unixPath: "/run/app.sock")!])))
    turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: Self.clientAddress), .openSocket(AF_UNIX, gives: .server),
        .connect(.server, to: "unix:/run/app.sock"),
      ])
    turn(
      [.connected(.server)],
      expecting: [.receive(.client, expectsData: true), .receive(.server, expectsData: false)])
  }

  /// The client of a connection that relays has ended its direction; a reset of it is watched for by now.
  func halfClose(sourceLocation: Testing.SourceLocation = #_sourceLocation) {
    turn([.ended(.client)], expecting: [.shutdown(.server)], sourceLocation: sourceLocation)
    advance(milliseconds(53), expecting: [.poll(.client, .hangUp)], sourceLocation: sourceLocation)
  }

  /// What every regular end does last.
  static func ending(_ client: Descriptor = .client, _ server: Descriptor = .server) -> [Step] {
    [.close(client), .close(server)]
  }

  /// How a listener ends behind its last completion: what waits in the queue is taken.
  static func closingListener(
    taking clients: (Descriptor, Descriptor)..., connectingTo target: String, inDrain: Bool = false
  ) -> [Step] {
    clients.flatMap { client, server in
      [.acceptNow(.listener, gives: client)] + arriving(client, inDrain: inDrain)
        + connecting(client, server, to: target)
    } + [.acceptNow(.listener, fails: EAGAIN), .close(.listener)]
  }

  /// How a client is taken that comes out of the queue of a listener that is closing.
  static func arriving(_ client: Descriptor, inDrain: Bool) -> [Step] {
    [.hearAgain(client)] + (inDrain ? [.notify(.control)] : [])
  }

  // MARK: What was counted and what is held

  var isStopping: Bool { worker.stops }
  var listenersAreQuiet: Bool { worker.listeners.isQuiet }

  func count(_ cell: WorkerMetrics.Cell) -> UInt64 { metrics.load(cell.rawValue) }

  func count(_ cell: WorkerMetrics.SeriesCell) -> UInt64 { metrics.load(series + cell.rawValue) }

  func closed(_ reason: CloseReason) -> UInt64 {
    metrics.load(series + WorkerMetrics.closedOffset + Int(reason.rawValue))
  }

  func connectFailures(_ failure: WorkerMetrics.ConnectFailure) -> UInt64 {
    metrics.load(series + WorkerMetrics.connectFailureOffset + failure.rawValue)
  }

  private var series: Int { WorkerMetrics.series(listener: Self.listenerID.rawValue, encryption: .none) }

  /// Everything that a finished connection must have given back.
  func expectNothingHeld(sourceLocation: Testing.SourceLocation = #_sourceLocation) {
    #expect(worker.connections.usedCount == 0, sourceLocation: sourceLocation)
    #expect(worker.buffersInUse == 0, sourceLocation: sourceLocation)
    #expect(worker.chunks.usedCount == 0, sourceLocation: sourceLocation)
    #expect(worker.bulkBuffers.usedCount == 0, sourceLocation: sourceLocation)
    #expect(worker.pipes.usedCount == 0, sourceLocation: sourceLocation)
    #expect(worker.starved.isEmpty, sourceLocation: sourceLocation)
    #expect(worker.handshakeQueue.isEmpty, sourceLocation: sourceLocation)
    #expect(worker.handshakes.inProgress == 0, sourceLocation: sourceLocation)
    #expect(worker.outboundHandshakesInProgress == 0, sourceLocation: sourceLocation)
    #expect(worker.timers.nextDeadline == .max, sourceLocation: sourceLocation)
    #expect(budget.usedCount == 0, sourceLocation: sourceLocation)
    #expect(script.buffersOut.isEmpty, sourceLocation: sourceLocation)
  }
}
