// Goal: whatever the kernel, the network and the peers do, no byte is lost, doubled or misdirected, every end is passed
// on as what it was, everything is given back, and every run comes to an end. Method: the production worker in a
// simulated world, one random run per seed, and the checkers afterwards.
//
// A failure names its seed. SIM_SEED=n replays exactly one, with SIM_TRACE=1 step by step; SIM_SEEDS=n runs that many,
// from SIM_FIRST on. `make sim` sets them.

import Glibc
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct SimulationTests {
  /// A seed costs about 50 ms without optimisation.
  private static let seedsByDefault: UInt64 = 300
  private static let batchSize: UInt64 = 10

  private static func number(_ variable: String) -> UInt64? {
    getenv(variable).flatMap { UInt64(String(cString: $0)) }
  }

  static let isTraced = number("SIM_TRACE") == 1

  private static let seedRange: Range<UInt64> = {
    let first = number("SIM_FIRST") ?? 0
    return first..<first &+ (number("SIM_SEEDS") ?? seedsByDefault)
  }()

  /// Batches that run side by side.
  private static let batches: [UInt64] =
    number("SIM_SEED") != nil
    ? [] : Array(stride(from: seedRange.lowerBound, to: seedRange.upperBound, by: UInt64.Stride(batchSize)))

  @Test(arguments: batches)
  func seeds(from first: UInt64) throws {
    for seed in first..<min(first + Self.batchSize, Self.seedRange.upperBound) {
      let found = try Self.run(seed).check()
      if !found.isEmpty {
        Issue.record("make sim SEED=\(seed) replays this:\n  \(found.prefix(10).joined(separator: "\n  "))")
      }
    }
  }

  @Test(.enabled(if: number("SIM_SEED") != nil, "only when SIM_SEED names one"))
  func replay() throws {
    let seed = try #require(Self.number("SIM_SEED"))
    let found = try Self.run(seed, isTraced: Self.isTraced).check()
    #expect(found == [], "seed \(seed)")
  }

  @Test("A seed plays the same each time, down to the last call; another seed plays differently")
  func determinism() throws {
    for seed in UInt64(1)...10 {
      let runs = try (0..<2).map { _ in try Self.run(seed) }
      #expect(runs[0].world.traceHash == runs[1].world.traceHash, "seed \(seed)")
      #expect(runs[0].turns == runs[1].turns)
    }
    #expect(try Self.run(1).world.traceHash != Self.run(2).world.traceHash)
  }

  /// Without this, silence would prove nothing.
  @Test("A world that breaks its promises is found out", arguments: SimulatedWorld.Sabotage.allCases)
  func control(_ sabotage: SimulatedWorld.Sabotage) throws {
    let isNoticed = try (UInt64(0)..<20).contains { seed in
      let simulation = try Simulation.play(Scenario(seed: seed)) { $0.world.sabotage = sabotage }
      return !simulation.check().isEmpty
    }
    #expect(isNoticed)
  }

  @Test("The seeds together get into every corner that they are there for")
  func coverage() throws {
    var reasons: Set<CloseReason> = []
    var cells: [WorkerMetrics.Cell: UInt64] = [:]
    var spliced: UInt64 = 0
    for seed in UInt64(0)..<150 {
      let simulation = try Self.run(seed)
      for dialogue in simulation.dialogues { if let record = dialogue.record { reasons.insert(record.reason) } }
      spliced += simulation.total(.relayedSplicedBytes)
      for cell in WorkerMetrics.Cell.allCases { cells[cell, default: 0] += simulation.metrics.load(cell.rawValue) }
    }
    for reason in [
      CloseReason.downstreamClosed, .upstreamClosed, .downstreamReset, .upstreamReset, .connectRefused,
      .connectTimeout, .connectUnreachable, .connectFailed, .descriptorsExhausted, .idleTimeout, .halfCloseTimeout,
      .drainDeadline, .denied, .tlsHandshakeFailed, .tlsTruncated, .upstreamIdentityUnexpected, .handshakeTimeout,
    ] { #expect(reasons.contains(reason), "\(reason)") }
    for cell in [
      WorkerMetrics.Cell.receivesStarved, .pipesRefused, .acceptPausedByLimit, .acceptPausedByDescriptors,
    ] { #expect(cells[cell, default: 0] > 0, "\(cell)") }
    #expect(spliced > 0)
  }

  static func run(_ seed: UInt64, isTraced: Bool = false) throws -> Simulation {
    try Simulation.play(Scenario(seed: seed)) { simulation in
      if isTraced { simulation.world.tracer = { print($0) } }
    }
  }
}
