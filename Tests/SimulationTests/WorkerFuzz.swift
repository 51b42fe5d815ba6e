// Goal: no legal sequence of completions leads the worker astray. Method: the simulation, with the fuzzer's bytes in the
// place of chance: they are the scenario, then every decision of the kernel, the network and the peers, one after the
// other. When they are used up nothing goes wrong any more, and the checkers of the simulation look at what came of it.

import FuzzSupport
import KernelTestSupport
import Testing

@Suite("Worker fuzzer")
struct WorkerFuzz {
  static let target = FuzzTarget("worker", inputMax: 4_096) { input in
    let simulation = try Simulation.play(Scenario(SeededGenerator(ChoiceScript(Array(input))))) { simulation in
      if SimulationTests.isTraced { simulation.world.tracer = { print($0) } }
    }
    let found = simulation.check()
    try expect(found.isEmpty, found.prefix(10).joined(separator: "\n"))
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }
}
