// Goal: the end of a proxy happens in the promised order, whatever signals come when. Method: the state machine is
// driven with times and counts of the test's own; nothing waits.

import Testing

@testable import ProxyCore

private let second: UInt64 = 1_000_000_000

@Suite("Drain")
struct DrainMachineTests {
  private func machine(grace: Int = 5, deadline: Int = 30) -> DrainMachine {
    DrainMachine(Configuration.Drain(grace: .seconds(grace), deadline: .seconds(deadline)))
  }

  @Test("SIGTERM: unready at once, accepting for the grace, then ended with the last connection")
  func terminates() {
    var machine = machine()
    #expect(machine.terminate(now: 100 * second) == [])
    #expect(machine.phase == .grace)
    #expect(machine.nextDeadline(now: 100 * second) == 105 * second)
    #expect(machine.advance(now: 104 * second, connections: 0, workersEnded: false) == [])
    #expect(machine.phase == .grace, "no connection is no reason to stop accepting before the grace is over")
    #expect(machine.advance(now: 105 * second, connections: 2, workersEnded: false) == [.stopAccepting, .stopWorkers])
    #expect(machine.phase == .draining)
    #expect(machine.nextDeadline(now: 105 * second) == 130 * second)
    #expect(machine.advance(now: 106 * second, connections: 0, workersEnded: false) == [])
    #expect(machine.phase == .draining, "a worker may still find a connection in its backlog: only its end counts")
    #expect(machine.advance(now: 107 * second, connections: 0, workersEnded: true) == [])
    #expect(machine.phase == .ended)
    #expect(machine.nextDeadline(now: 107 * second) == nil)
  }

  @Test("What is left at the deadline is cut")
  func cutsAtDeadline() {
    var machine = machine()
    _ = machine.terminate(now: 0)
    _ = machine.advance(now: 5 * second, connections: 3, workersEnded: false)
    #expect(
      machine.advance(now: 30 * second, connections: 3, workersEnded: false) == [.closeConnections(.drainDeadline)])
    #expect(machine.phase == .closing)
    #expect(machine.advance(now: 30 * second + 1, connections: 0, workersEnded: true) == [])
    #expect(machine.phase == .ended)
  }

  @Test("Workers that don't leave after the cut are given up")
  func givesUp() {
    var machine = machine()
    _ = machine.interrupt(now: 0)
    _ = machine.advance(now: DrainMachine.closingTimeout - 1, connections: 1, workersEnded: false)
    #expect(machine.phase == .closing)
    _ = machine.advance(now: DrainMachine.closingTimeout, connections: 1, workersEnded: false)
    #expect(machine.phase == .ended)
  }

  @Test("A second SIGTERM ends at once, in whatever phase", arguments: [0, 1, 6, 31])
  func secondTermination(at time: UInt64) {
    var machine = machine()
    _ = machine.terminate(now: 0)
    let before = machine.advance(now: time * second, connections: 1, workersEnded: false)
    let actions = machine.terminate(now: time * second)
    #expect(actions.contains(.closeConnections(.shutdown)))
    #expect(actions.contains(.stopWorkers))
    #expect((before + actions).filter { $0 == .stopAccepting }.count == 1, "accepting stops exactly once")
    #expect(machine.phase == .closing)
  }

  @Test("SIGINT while serving ends at once")
  func interrupts() {
    var machine = machine()
    #expect(machine.interrupt(now: 0) == [.stopAccepting, .closeConnections(.shutdown), .stopWorkers])
    #expect(machine.endsProcess)
  }

  @Test("/drain empties the proxy and keeps it; /shutdown ends it then")
  func drainsAndStays() {
    var machine = machine()
    #expect(machine.drain(now: 0) == [])
    #expect(machine.advance(now: 5 * second, connections: 1, workersEnded: false) == [.stopAccepting])
    _ = machine.advance(now: 6 * second, connections: 0, workersEnded: false)
    #expect(machine.phase == .drained)
    #expect(machine.nextDeadline(now: 6 * second) == nil)
    #expect(machine.drain(now: 7 * second) == [], "draining twice changes nothing")
    #expect(machine.terminate(now: 8 * second) == [.stopWorkers])
    _ = machine.advance(now: 8 * second, connections: 0, workersEnded: true)
    #expect(machine.phase == .ended)
  }

  @Test("/drain waits for the listeners' queues, and counts what a late worker still finds in one")
  func lateArrivals() {
    var machine = machine(grace: 0, deadline: 30)
    _ = machine.drain(now: 0)
    #expect(machine.advance(now: 0, connections: 0, workersEnded: false) == [.stopAccepting])
    #expect(machine.phase == .draining, "a queue may still bring some")
    #expect(machine.nextDeadline(now: 0) == DrainMachine.emptyingTime)
    _ = machine.advance(now: DrainMachine.emptyingTime, connections: 0, workersEnded: false)
    #expect(machine.phase == .drained)
    _ = machine.advance(now: second, connections: 1, workersEnded: false)
    #expect(machine.phase == .draining)
    #expect(machine.nextDeadline(now: second) == 30 * second)
    #expect(
      machine.advance(now: 30 * second, connections: 1, workersEnded: false) == [.closeConnections(.drainDeadline)])
  }

  @Test("SIGTERM after /drain leaves what is open its time until the deadline")
  func terminationWithLateArrival() {
    var machine = machine(grace: 0, deadline: 30)
    _ = machine.drain(now: 0)
    _ = machine.advance(now: 0, connections: 0, workersEnded: false)
    _ = machine.advance(now: second, connections: 0, workersEnded: false)
    #expect(machine.terminate(now: 2 * second) == [.stopWorkers])
    #expect(machine.advance(now: 20 * second, connections: 1, workersEnded: false) == [])
    #expect(machine.phase == .draining)
  }

  @Test("SIGTERM long after /drain has cut gives the workers their turn")
  func terminationOfStuckDrain() {
    var machine = machine(grace: 0, deadline: 0)
    _ = machine.drain(now: 0)
    _ = machine.advance(now: 0, connections: 1, workersEnded: false)
    #expect(machine.phase == .closing)
    #expect(machine.terminate(now: 60 * second) == [.stopWorkers])
    _ = machine.advance(now: 60 * second, connections: 1, workersEnded: false)
    #expect(machine.phase == .closing)
  }

  @Test("/drain cuts at the deadline and stays")
  func drainsAtDeadline() {
    var machine = machine()
    _ = machine.drain(now: 0)
    _ = machine.advance(now: 5 * second, connections: 1, workersEnded: false)
    let actions = machine.advance(now: 30 * second, connections: 1, workersEnded: false)
    #expect(actions == [.closeConnections(.drainDeadline)])
    _ = machine.advance(now: 30 * second + 1, connections: 0, workersEnded: false)
    #expect(machine.phase == .drained)
  }

  @Test("SIGTERM during /drain keeps its times and ends the process")
  func terminationDuringDrain() {
    var machine = machine()
    _ = machine.drain(now: 0)
    #expect(machine.terminate(now: 1 * second) == [])
    #expect(machine.nextDeadline(now: 1 * second) == 5 * second)
    #expect(machine.advance(now: 5 * second, connections: 0, workersEnded: false) == [.stopAccepting, .stopWorkers])
  }

  @Test("Without grace and deadline, SIGTERM closes everything in one step")
  func withoutGrace() {
    var machine = machine(grace: 0, deadline: 0)
    _ = machine.terminate(now: second)
    let actions = machine.advance(now: second, connections: 1, workersEnded: false)
    #expect(actions == [.stopAccepting, .stopWorkers, .closeConnections(.drainDeadline)])
  }

  @Test("Nothing to cut at the deadline is looked for now and then, not without a pause")
  func restsAfterDeadline() {
    var machine = machine(grace: 0, deadline: 1)
    _ = machine.terminate(now: 0)
    _ = machine.advance(now: 0, connections: 0, workersEnded: false)
    #expect(machine.advance(now: 2 * second, connections: 0, workersEnded: false) == [])
    #expect(machine.phase == .draining)
    #expect(machine.nextDeadline(now: 2 * second) == 2 * second + DrainMachine.lateInterval)
    let actions = machine.advance(now: 3 * second, connections: 1, workersEnded: false)
    #expect(actions == [.closeConnections(.drainDeadline)])
  }

  @Test("Past the deadline the queues are waited for with a pause as well")
  func restsWhileQueuesEmpty() {
    var machine = machine(grace: 0, deadline: 0)
    _ = machine.drain(now: second)
    #expect(machine.advance(now: second, connections: 0, workersEnded: false) == [.stopAccepting])
    #expect(machine.phase == .draining)
    #expect(machine.nextDeadline(now: second) == second + DrainMachine.lateInterval)
    let almost = second + DrainMachine.emptyingTime - 1
    #expect(machine.nextDeadline(now: almost) == almost + 1)
  }

  @Test("A connection that doesn't end after /drain has cut it is waited for without a clock")
  func restsWithStuckConnection() {
    var machine = machine(grace: 0, deadline: 0)
    _ = machine.drain(now: 0)
    let actions = machine.advance(now: 0, connections: 1, workersEnded: false)
    #expect(actions == [.stopAccepting, .closeConnections(.drainDeadline)])
    #expect(machine.nextDeadline(now: 0) == DrainMachine.closingTimeout)
    #expect(machine.nextDeadline(now: DrainMachine.closingTimeout) == nil)
  }

  @Test("A worker that is stuck doesn't keep the process past the end, however late one looks")
  func endsLate() {
    var machine = machine(grace: 0, deadline: 0)
    _ = machine.interrupt(now: 0)
    #expect(machine.nextDeadline(now: DrainMachine.closingTimeout + 1) == DrainMachine.closingTimeout)
    _ = machine.advance(now: DrainMachine.closingTimeout + 1, connections: 1, workersEnded: false)
    #expect(machine.phase == .ended)
  }

  @Test("Spans beyond the clock never come due")
  func hugeSpans() {
    var machine = DrainMachine(Configuration.Drain(grace: .seconds(Int64.max), deadline: .seconds(Int64.max)))
    _ = machine.terminate(now: second)
    #expect(machine.nextDeadline(now: second) == .max)
  }
}
