// Plays a scenario: the production worker, unchanged, in the simulated world. `Checkers.swift` says afterwards whether
// what happened was right.

import Glibc
import IOUring
import KernelTestSupport
import Metrics

@testable import ProxyCore

/// One connection through the proxy, as its two ends saw it and as the access log tells it.
final class Dialogue {
  let client: SimulatedParty
  let listener: Int
  let rules: SimulatedListenerRules
  var server: SimulatedParty?
  /// The address at which the server was reached.
  var serverAddress = ""
  var record: AccessRecord?
  /// Who the log says was at the encrypted end.
  var loggedPrincipal: String?

  init(client: SimulatedParty, listener: Int, rules: SimulatedListenerRules) {
    self.client = client
    self.listener = listener
    self.rules = rules
  }
}

final class Simulation {
  /// Turns that an end may take once nothing goes wrong any more: far more than any run has needed, far fewer than
  /// for ever.
  static let turnsAfterCalmMax = 20_000

  let scenario: Scenario
  let world: SimulatedWorld
  var worker: Worker<SimulatedKernel>
  let metrics = WorkerMetrics.allocate()
  let budget: ConnectionBudget
  private let mailbox: Mailbox
  private let accessLog = AccessRecordQueue(wakeDescriptor: .none)
  private let wake: Descriptor
  private var random: SeededGenerator
  private typealias OpenListener = (id: ListenerID, socket: SimulatedListener, rules: SimulatedListenerRules)
  private var listeners: [OpenListener] = []
  /// Nil where no listener has to do with TLS.
  private let mesh: SimulatedMesh?
  private(set) var listenerCount = 0
  private var arrivals: Arrivals?

  private(set) var dialogues: [Dialogue] = []
  private var dialogueOfClient: [Int: Dialogue] = [:]
  private(set) var recordsWithoutClient: [AccessRecord] = []
  private(set) var turns = 0
  private(set) var isCalm = false
  /// Connections were told to end, and so are those that come after them.
  private var tellsToEnd = false
  private(set) var problems: [String] = []

  /// Plays a scenario from beginning to end.
  ///
  /// - Parameter prepare: has its way with the simulation before it begins.
  static func play(_ scenario: Scenario, prepare: (Simulation) -> Void = { _ in }) throws -> Simulation {
    try SimulatedMesh.prepare()
    var cryptography = scenario.chance.part(0x715)
    return try SimulatedMesh.seeded(cryptography.next()) {
      let simulation = try Simulation(scenario)
      prepare(simulation)
      simulation.run()
      return simulation
    }
  }

  private init(_ scenario: Scenario) throws {
    self.scenario = scenario
    mesh = scenario.listeners.contains(where: \.usesTLS) ? try SimulatedMesh() : nil
    random = scenario.chance.part(0xac70_75)
    var capacities = scenario.chance.part(0xcafe)
    let capacityMax = scenario.socketCapacityMax
    world = SimulatedWorld(
      scenario.chance.part(0x0a11), faults: scenario.faults, bufferSize: scenario.bufferSize,
      bufferCount: scenario.bufferCount, socketCapacity: { capacities.magnitude(capacityMax / 64...capacityMax) })
    world.descriptorsMax = scenario.descriptorsMax
    wake = try EventDescriptor.make()
    mailbox = Mailbox(wakeDescriptor: wake)
    budget = ConnectionBudget(limit: scenario.limit, workerWakes: [wake])
    worker = Worker(
      kernel: SimulatedKernel(world),
      links: WorkerLinks(
        index: 0, mailbox: mailbox, metrics: metrics, accessLog: accessLog, budget: budget, controlWake: .none,
        slotsMax: scenario.slotsMax),
      settings: scenario.settings)
    world.connectOutcome = { [unowned self] in connectOutcome($0) }
    world.upstreamConnected = { [unowned self] in upstreamConnected($0, $1, at: $2) }
    worker.identity = mesh?.proxy
    for rules in scenario.listeners { addListener(rules) }
    arrivals = Arrivals(self)
    if let arrivals { world.add(arrivals) }
  }

  deinit {
    // A run that found something wrong ends there.
    for slot in 0..<worker.connections.highWater { worker.connections[slot].freeTLS() }
    close(wake.rawValue)
    metrics.deallocate()
  }

  // MARK: The run

  /// Plays to the end, or until something is wrong.
  private func run() {
    worker.submitMailPoll()
    var interventions = scenario.interventions[...]
    var calmedAt = Int.max
    while !(worker.stops && worker.connections.usedCount == 0 && worker.listeners.isQuiet) {
      while !isCalm, let next = interventions.first, next.turn <= turns {
        intervene(next.kind)
        interventions.removeFirst()
      }
      worker.turn()
      turns += 1
      collectRecords()
      problems += checkNothingEarly()
      if world.isSilent { problems += checkResetsPassedOn() }
      if !isCalm, turns >= scenario.calmTurn || world.isSilent || scenario.chance.isExhausted {
        calmDown()
        calmedAt = turns
      } else if isCalm, isOver, !worker.stops {
        mailbox.post(.stopAccepting)
        mailbox.post(.stop)
      } else if world.isSilent {
        problems.append("the worker sleeps for ever, and nothing will happen any more" + stateText)
      }
      if turns > calmedAt &+ Self.turnsAfterCalmMax, calmedAt != .max {
        problems.append("not over \(Self.turnsAfterCalmMax) turns after the last fault" + stateText)
      }
      problems += world.violations
      guard problems.isEmpty, !dialogues.contains(where: { $0.client.corruption != nil }) else { return }
    }
    Self.closeIdlePipes(&worker)
    world.settle()
    collectRecords()
  }

  /// What the worker's own loop does last.
  private static func closeIdlePipes(_ worker: inout Worker<SimulatedKernel>) {
    worker.pipes.closeIdle(&worker.kernel)
  }

  /// Nothing goes wrong from here on, and everybody comes to an end.
  private func calmDown() {
    isCalm = true
    world.faults = .none
    budget.setLimit(max(1, scenario.limit))
    arrivals?.hurry()
    for dialogue in dialogues {
      dialogue.client.calmDown()
      dialogue.server?.calmDown()
    }
    world.wakeActors()
  }

  private var isOver: Bool {
    arrivals?.isDone == true && worker.connections.usedCount == 0
      && dialogues.allSatisfy { $0.client.isGone && $0.server?.isGone != false }
  }

  /// Who is left, for a person who looks into a run that does not end.
  private var stateText: String {
    var lines: [String] = []
    for dialogue in dialogues {
      for party in [dialogue.client, dialogue.server] {
        guard let party, !party.isGone else { continue }
        lines.append("\(party.name): sent \(party.sent), received \(party.received), finished: \(party.hasFinished)")
      }
    }
    for (id, socket, _) in listeners {
      let waiting = worker.listeners[id].map { "\($0.waiting)" } ?? "removed"
      lines.append("listener \(id.rawValue) waits for \(waiting), \(socket.waitingCount) in its queue")
    }
    lines.append("\(worker.connections.usedCount) connections, \(budget.usedCount) permits of \(budget.available) left")
    return ([""] + lines).joined(separator: "\n    ")
  }

  private func collectRecords() {
    while var record = accessLog.pop() {
      let principal = record.principal?.text
      record.principal?.free()
      record.principal = nil
      let address = record.downstream?.description
      let dialogue = dialogues.first {
        $0.record == nil && SimulatedWorld.clientAddress($0.client.stream) == address
      }
      guard let dialogue else {
        recordsWithoutClient.append(record)
        continue
      }
      dialogue.record = record
      dialogue.loggedPrincipal = principal
    }
  }

  // MARK: The control thread

  private func addListener(_ rules: SimulatedListenerRules) {
    let id = ListenerID(rawValue: listenerCount)
    listenerCount += 1
    let socket = world.listen(on: "\(rules.configuration.bind)")
    listeners.append((id, socket, rules))
    mailbox.post(.addListener(id, socket.descriptor, rules.plan))
  }

  private func intervene(_ kind: Scenario.Intervention.Kind) {
    switch kind {
    case .stopAccepting:
      for listener in listeners { arriveHalfway(at: listener) }
      mailbox.post(.stopAccepting)
    case .closeConnections:
      tellsToEnd = true
      mailbox.post(.closeConnections(.drainDeadline))
    case .setLimit(let limit):
      budget.setLimit(limit)
    case .listConnections:
      mailbox.post(.listConnections(ConnectionListing(workers: 1, doneDescriptor: .none)))
    case .removeAndAddListener:
      guard world.openDescriptorCount < world.descriptorsMax else { return }
      let removed = listeners.removeFirst()
      // Half of them as if the other one had their address: then who is in the middle of connecting is lost.
      if removed.id.rawValue.isMultiple(of: 2) {
        arriveHalfway(at: removed)
        mailbox.post(.removeListener(removed.id))
      } else {
        mailbox.post(.closeListener(removed.id))
      }
      addListener(removed.rules)
    case .updateSettings:
      mailbox.post(.updateSettings(Scenario.settings(&random, pipesMax: scenario.settings.pipesMax / 2)))
    case .rotateIdentity:
      if let mesh { mailbox.post(.updateIdentity(mesh.rotate())) }
    }
  }

  // MARK: The outside

  private func connectOutcome(_ address: String) -> ConnectOutcome {
    if isCalm { return .established(after: 0) }
    let delay = UInt64(scenario.connectDelayMax == 0 ? 0 : random.magnitude(0...scenario.connectDelayMax))
    if random.chance(scenario.connectSilent) {
      return address.hasPrefix("unix") ? .refused(errno: EAGAIN, after: 0) : .silence
    }
    if random.chance(scenario.connectRefused) {
      return .refused(errno: random.pick([ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, EACCES]), after: delay)
    }
    return .established(after: delay)
  }

  private func upstreamConnected(
    _ stream: SimulatedStream, _ clientStream: SimulatedStream?, at address: String
  ) {
    guard let clientStream else {
      problems.append("the worker has connected on nobody's behalf")
      return
    }
    guard let dialogue = dialogueOfClient[clientStream.id] else { return }
    if dialogue.server != nil { problems.append("\(dialogue.client.name) is connected upstream twice") }
    let credentials = dialogue.rules.serverCredentials(&random, address: address, bad: scenario.badPeers)
    let server = SimulatedParty(
      name: "server of \(dialogue.client.name)", stream: stream, wire: wire(.server, credentials, on: stream),
      credentials: credentials, isForeign: dialogue.rules.isMesh(address) && credentials == .none,
      mayHearTLS: dialogue.rules.configuration.tls == .permissive && dialogue.client.credentials != .none,
      temperament: scenario.temperament(&random), saying: Pattern(stream: 2 * clientStream.id + 1),
      hearing: Pattern(stream: 2 * clientStream.id), random: random.split(), world: world)
    if isCalm { server.calmDown() }
    dialogue.server = server
    dialogue.serverAddress = address
  }

  /// One more client connects.
  fileprivate func arrive() {
    let listener = listeners[random.below(listeners.count)]
    if let stream = world.connect(to: listener.socket) { addClient(stream, of: listener) }
  }

  /// Another one, of whose handshake only the last segment is missing: Linux may hold it back for 200 ms.
  private func arriveHalfway(at listener: OpenListener) {
    guard random.chance(0.5), let (stream, arrive) = world.beginConnecting(to: listener.socket) else { return }
    addClient(stream, of: listener)
    world.add(
      Latecomer(at: world.clock + UInt64(random.below(200_000_000)), in: world) { [unowned self] in
        // A worker that was not let run for so long can't keep its listener open for it.
        if listener.socket.isClosed, !tellsToEnd, scenario.faults.clockJump == 0 {
          problems.append("client \(stream.id) was connecting when its listener closed, and was reset")
        }
        arrive()
      })
  }

  /// Does one thing when it is time.
  private final class Latecomer: SimulatedActor {
    private let time: UInt64
    private unowned let world: SimulatedWorld
    private var arrive: (() -> Void)?

    init(at time: UInt64, in world: SimulatedWorld, _ arrive: @escaping () -> Void) {
      self.time = time
      self.world = world
      self.arrive = arrive
    }

    func act() -> UInt64 {
      guard let arrive else { return .max }
      guard world.clock >= time else { return time }
      self.arrive = nil
      arrive()
      return .max
    }
  }

  private func addClient(_ stream: SimulatedStream, of listener: OpenListener) {
    let credentials = listener.rules.clientCredentials(&random, bad: scenario.badPeers)
    let client = SimulatedParty(
      name: "client \(stream.id)", stream: stream, wire: wire(.client, credentials, on: stream),
      credentials: credentials, isForeign: listener.rules.configuration.tls == .strict && credentials == .none,
      temperament: scenario.temperament(&random), saying: Pattern(stream: 2 * stream.id),
      hearing: Pattern(stream: 2 * stream.id + 1), random: random.split(), world: world)
    if isCalm { client.calmDown() }
    let dialogue = Dialogue(client: client, listener: listener.id.rawValue, rules: listener.rules)
    dialogues.append(dialogue)
    dialogueOfClient[stream.id] = dialogue
  }

  private func wire(
    _ role: TLSRole, _ credentials: SimulatedMesh.Credentials, on stream: SimulatedStream
  ) -> any Wire {
    guard let mesh, let context = mesh.context(credentials) else { return stream }
    return TLSWire(context, role, on: stream, mesh: mesh, ticketKey: mesh.ticketKey(credentials))
  }

  fileprivate func nextArrival() -> UInt64 { world.clock + UInt64(random.magnitude(0...200_000_000)) }

  /// Lets the clients connect one after another.
  private final class Arrivals: SimulatedActor {
    private unowned let simulation: Simulation
    private var left: Int
    private var next: UInt64 = 0
    private var isHurried = false

    init(_ simulation: Simulation) {
      self.simulation = simulation
      left = simulation.scenario.clientCount
    }

    var isDone: Bool { left == 0 }
    func hurry() { isHurried = true }

    func act() -> UInt64 {
      guard left > 0 else { return .max }
      guard isHurried || simulation.world.clock >= next else { return next }
      left -= 1
      simulation.arrive()
      next = simulation.nextArrival()
      return left == 0 ? .max : isHurried ? simulation.world.clock : next
    }
  }
}
