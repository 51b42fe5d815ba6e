// Goal: who is in the middle of connecting when a listener ends, with the proxy or without it, is served. Method: a scripted kernel.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct ListenerEmptyingTests {
  private static let target = "127.0.0.1:8080"

  @Test(
    "Who has begun to connect is accepted for a moment, and what waits is taken before the listener closes",
    arguments: [WorkerCommand.stopAccepting, .removeListener(WorkerBench.listenerID)])
  func empties(_ command: WorkerCommand) {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    var isDrain = false
    if case .stopAccepting = command { isDrain = true }
    bench.command(command, expecting: [.stopQueueing(.listener)] + (isDrain ? [.notify(.control)] : []))
    // The end of its handshake was on its way.
    let late = Descriptor(rawValue: 1_000_050)
    bench.advance(
      milliseconds(249), [.accepted(late, on: .listener)],
      expecting: WorkerBench.arriving(late, inDrain: isDrain)
        + WorkerBench.connecting(late, .secondServer, to: Self.target))
    #expect(!bench.listenersAreQuiet)
    bench.advance(milliseconds(1), expecting: [.cancel(.accept(.listener))])
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: WorkerBench.closingListener(taking: (.client, .server), connectingTo: Self.target, inDrain: isDrain))
    #expect(bench.worker.connections.usedCount == 2)
    #expect(bench.listenersAreQuiet)
  }

  @Test("A listener that takes connections one by one takes what waits as well")
  func emptiesWhilePolling() {
    let bench = WorkerBench(limit: 1)
    bench.command(
      .addListener(WorkerBench.listenerID, .listener, WorkerBench.plan(to: Self.target)),
      expecting: [.poll(.listener, .readable)])
    bench.command(.stopAccepting, expecting: [.stopQueueing(.listener), .notify(.control)])
    bench.advance(milliseconds(250), expecting: [.cancel(.poll(.listener, .readable))])
    let last = Descriptor(rawValue: 1_000_050)
    // The second goes beyond the limit: it would be reset otherwise.
    bench.turn(
      [.failed(.poll(.listener, .readable), ECANCELED)],
      expecting: WorkerBench.closingListener(
        taking: (.client, .server), (last, .secondServer), connectingTo: Self.target, inDrain: true))
    #expect(bench.worker.connections.usedCount == 2)
    #expect(bench.listenersAreQuiet)
  }

  @Test("A listener that is paused when it is to close has not been quiet, and closes without a cancellation")
  func paused() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(.stopAccepting, expecting: [.stopQueueing(.listener), .notify(.control)])
    bench.advance(milliseconds(245), [.failed(.accept(.listener), EMFILE)], expecting: [])
    #expect(!bench.listenersAreQuiet)
    bench.advance(
      milliseconds(5), expecting: [.acceptNow(.listener, fails: EMFILE), .close(.listener)])
    #expect(bench.listenersAreQuiet)
    // The back-off that was set for it arms nothing.
    bench.advance(seconds(2), expecting: [])
  }

  @Test("Descriptors that were short come back in time: accepting goes on until the listener closes")
  func pausedInBetween() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn([.failed(.accept(.listener), EMFILE)], expecting: [])
    bench.command(.stopAccepting, expecting: [.stopQueueing(.listener), .notify(.control)])
    bench.advance(milliseconds(10), expecting: [.poll(.listener, .readable)])
    bench.advance(milliseconds(240), expecting: [.cancel(.poll(.listener, .readable))])
  }

  @Test("One whose address another listener takes is emptied no longer")
  func displaced() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(.removeListener(WorkerBench.listenerID), expecting: [.stopQueueing(.listener)])
    bench.command(.closeListener(WorkerBench.listenerID), expecting: [.cancel(.accept(.listener))])
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: WorkerBench.closingListener(taking: (.client, .server), connectingTo: Self.target))
    #expect(bench.listenersAreQuiet)
    bench.advance(milliseconds(250), expecting: [])
  }

  @Test("Told twice, or to remove what is being emptied")
  func twice() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(
      .stopAccepting, .stopAccepting, expecting: [.stopQueueing(.listener), .notify(.control), .notify(.control)])
    bench.command(.removeListener(WorkerBench.listenerID), expecting: [])
    bench.advance(milliseconds(250), expecting: [.cancel(.accept(.listener))])
  }
}
