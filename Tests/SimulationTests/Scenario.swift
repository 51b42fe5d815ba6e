// What one seed stands for: the world and its faults, the proxy's settings, who connects and when, and what the control
// thread does meanwhile. `Simulation` plays it.

import Glibc
import IOUring
import KernelTestSupport

@testable import ProxyCore

/// The parameters of one simulation, all drawn from its seed, or from a fuzzer's input.
struct Scenario {
  /// Something that the control thread does before a given turn.
  struct Intervention {
    enum Kind {
      case stopAccepting
      case closeConnections
      case setLimit(Int)
      case listConnections
      case removeAndAddListener
      case updateSettings
      case rotateIdentity
    }
    var turn: Int
    var kind: Kind
  }

  /// Where the generators of the run come from.
  let chance: SeededGenerator
  let faults: FaultPlan
  let bufferSize: Int
  let bufferCount: Int
  let socketCapacityMax: Int
  let descriptorsMax: Int
  let settings: WorkerSettings
  let limit: Int
  let slotsMax: Int
  let clientCount: Int
  /// Few clients with much to say, in place of many with little.
  let isBulky: Bool
  let listeners: [SimulatedListenerRules]
  /// Chance that a peer is one of whom TLS, or the policy, has something bad to say.
  let badPeers: Double
  /// Chances of what becomes of a connect.
  let connectRefused: Double
  let connectSilent: Double
  let connectDelayMax: Int
  let interventions: [Intervention]
  /// From this turn on nothing goes wrong any more.
  let calmTurn: Int

  init(seed: UInt64) { self.init(SeededGenerator(seed: seed)) }

  init(_ chance: SeededGenerator) {
    var random = chance
    self.chance = chance
    faults = FaultPlan.swarm(&random)
    bufferSize = random.pick([512, 4_096, 16_384])
    bufferCount = random.pick([2, 4, 16, 64])
    socketCapacityMax = random.pick([256, 4_096, 65_536, 1_048_576])
    descriptorsMax = random.chance(0.8) ? 10_000 : 8 + random.below(40)
    settings = Self.settings(&random, pipesMax: descriptorsMax / 16)
    limit = random.chance(0.7) ? 1_000_000 : random.pick([1, 3, 10, 4_100])
    slotsMax = random.chance(0.9) ? 128 : 2
    isBulky = random.chance(0.25)
    clientCount = random.magnitude(1...(isBulky ? 4 : 24))
    listeners = (0..<random.pick([1, 1, 2])).map { SimulatedListenerRules(&random, port: UInt16(15_006 + $0)) }
    badPeers = random.pick([0, 0.1, 0.5])
    connectRefused = random.chance(0.5) ? 0 : random.pick([0.05, 0.3])
    connectSilent = random.chance(0.7) ? 0 : random.pick([0.05, 0.3])
    connectDelayMax = random.pick([0, 1_000_000, 1_000_000_000])
    calmTurn = random.chance(0.5) ? 20 + random.below(1_000) : 3_000
    interventions = Self.interventions(&random, before: calmTurn)
  }

  static func settings(_ random: inout SeededGenerator, pipesMax: Int) -> WorkerSettings {
    var settings = WorkerSettings(Configuration.Timeouts())
    settings.pipesMax = pipesMax
    settings.connectTimeout = random.pick([50_000_000, 1_000_000_000, 5_000_000_000])
    settings.handshakeTimeout = random.pick([50_000_000, 5_000_000_000, 5_000_000_000])
    settings.idleTimeout = random.pick([.max, .max, 100_000_000, 5_000_000_000])
    settings.halfCloseTimeout = random.pick([.max, .max, 50_000_000, 5_000_000_000])
    return settings
  }

  private static func interventions(_ random: inout SeededGenerator, before calmTurn: Int) -> [Intervention] {
    var interventions: [Intervention] = []
    for (chance, kind) in [
      (0.25, Intervention.Kind.stopAccepting), (0.2, .closeConnections), (0.15, .setLimit(random.pick([0, 1, 5]))),
      (0.3, .listConnections), (0.15, .removeAndAddListener), (0.15, .updateSettings), (0.3, .rotateIdentity),
      (0.3, .rotateIdentity),
    ] where random.chance(chance) {
      // Most runs are over, or at rest, long before the calm turn.
      interventions.append(Intervention(turn: random.below(min(calmTurn, 400)), kind: kind))
    }
    return interventions.sorted { $0.turn < $1.turn }
  }

  // MARK: Parties

  func temperament(_ random: inout SeededGenerator) -> SimulatedParty.Temperament {
    // What passes through small sockets takes many turns.
    let bulk = min(1_000_000, 64 * socketCapacityMax)
    let bytes =
      isBulky
      ? random.below(bulk) : random.pick([0, 1, 100, random.magnitude(0...10_000), random.magnitude(0...bulk / 4)])
    let limit = random.magnitude(0...max(1, bytes))
    let ending: SimulatedParty.Temperament.Ending =
      switch random.below(13) {
      case 0..<6: .whenSent
      case 6, 7: .afterPeer
      case 8: .resetAfterSending(limit)
      case 9: .resetAfterReceiving(1 + limit)
      case 10: .resetAfterFinishing(receiving: limit)
      case 11: .truncate
      default: .never
      }
    return SimulatedParty.Temperament(
      bytesToSend: bytes, chunkMax: random.pick([1 + bytes / 20, 4_096, 65_536, 65_536]),
      readMax: random.pick([1 + random.magnitude(0...1_000), 65_536, 65_536]),
      readPause: random.chance(0.7) ? 0 : UInt64(random.magnitude(1...50_000_000)),
      writePauseChance: random.pick([0, 0, 0.1, 0.5]), writePause: UInt64(random.magnitude(1...100_000_000)),
      keyUpdateChance: random.pick([0, 0, 0.05]), ending: ending)
  }
}
