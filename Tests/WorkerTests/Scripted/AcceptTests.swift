// Goal: accepting goes on through everything that can stop it: a multishot that ends, descriptors that run out, the
// connection limit, a listener that is removed. Method: a scripted kernel with a virtual clock.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct AcceptTests {
  private static let target = "127.0.0.1:8080"

  @Test("A multishot accept that ends without an error is armed again")
  func multishotEnds() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn(
      [.accepted(.client, on: .listener, more: false)],
      expecting: WorkerBench.connecting(to: Self.target) + [.accept(.listener)])
  }

  @Test("A client that gave up while it waited costs nothing")
  func aborted() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn([.failed(.accept(.listener), ECONNABORTED)], expecting: [.accept(.listener)])
    #expect(bench.worker.acceptRetryAt == .max)
  }

  @Test(
    "When descriptors run out, accepting pauses, twice as long each time, and recovers", arguments: [EMFILE, ENFILE])
  func backOff(_ error: Int32) {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn([.failed(.accept(.listener), error)], expecting: [])
    var delay = milliseconds(10)
    for _ in 0..<9 {
      bench.advance(delay - 1, expecting: [])
      bench.turn(expecting: [])
      #expect(bench.script.deadline == bench.script.clock + 1)
      // After a shortage connections are taken one by one: a multishot accept would take the whole backlog.
      bench.advance(1, expecting: [.poll(.listener, .readable)])
      bench.turn(
        [.ready(.listener, .readable, events: POLLIN)], expecting: [.acceptNow(.listener, fails: error)])
      delay = min(delay * 2, seconds(1))
    }
    #expect(bench.count(.acceptPausedByDescriptors) == 10)
    #expect(bench.budget.usedCount == 0)
    bench.advance(delay, expecting: [.poll(.listener, .readable)])
    // A connection that finds a descriptor for its upstream ends the shortage.
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, gives: .client)] + WorkerBench.connecting(to: Self.target) + [
        .acceptNow(.listener, fails: EAGAIN), .accept(.listener),
      ])
    // From the start again.
    bench.turn([.failed(.accept(.listener), error)], expecting: [])
    bench.advance(milliseconds(10) - 1, expecting: [])
    bench.advance(1, expecting: [.poll(.listener, .readable)])
  }

  @Test("More connections than slots: the surplus is reset and its permit given back")
  func slotsExhausted() {
    let bench = WorkerBench(slotsMax: 1)
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: Self.target))
    let surplus = Descriptor(rawValue: 1_000_050)
    bench.turn([.accepted(surplus, on: .listener)], expecting: [.resetOnClose(surplus), .close(surplus)])
    #expect(bench.budget.usedCount == 1)
  }
}

@Suite struct ConnectionLimitTests {
  private static let target = "127.0.0.1:8080"

  /// A listener near its limit: it polls, and takes connections one by one.
  private static func bench(limit: Int) -> WorkerBench {
    let bench = WorkerBench(limit: limit)
    bench.command(
      .addListener(WorkerBench.listenerID, .listener, WorkerBench.plan(to: Self.target)),
      expecting: limit > 0 ? [.poll(.listener, .readable)] : [])
    return bench
  }

  @Test("Near the limit a connection is taken only with a permit, and at the limit none is")
  func limit() {
    let bench = Self.bench(limit: 1)
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, gives: .client)] + WorkerBench.connecting(to: Self.target))
    #expect(bench.count(.acceptPausedByLimit) == 1)
    // Nobody waits for the listener now, so that it can't spin.
    #expect(bench.script.token(of: .poll(.listener, .readable)) == nil)
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [.close(.server), .resetOnClose(.client), .close(.client)])
    // The budget wakes its waiters through the mailbox.
    bench.command(expecting: [.poll(.listener, .readable)])
    #expect(bench.budget.usedCount == 0)
  }

  @Test("All that wait are taken, up to the limit")
  func several() {
    let bench = Self.bench(limit: 8)
    let other = Descriptor(rawValue: 1_000_050)
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, gives: .client)] + WorkerBench.connecting(to: Self.target)
        + [.acceptNow(.listener, gives: other)] + WorkerBench.connecting(other, .secondServer, to: Self.target)
        + [.acceptNow(.listener, fails: EAGAIN), .poll(.listener, .readable)])
    #expect(bench.budget.usedCount == 2)
  }

  @Test("A limit that is raised wakes the listener; far away from it, the multishot accept is back")
  func raised() {
    let bench = Self.bench(limit: 0)
    bench.budget.setLimit(2)
    bench.command(expecting: [.poll(.listener, .readable)])
    bench.budget.setLimit(1_000_000)
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, fails: EAGAIN), .accept(.listener)])
  }

  @Test("A multishot accept gives way to a poll when the limit comes near")
  func lowered() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.budget.setLimit(10)
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: WorkerBench.connecting(to: Self.target) + [.cancel(.accept(.listener))])
    bench.turn([.failed(.accept(.listener), ECANCELED)], expecting: [.poll(.listener, .readable)])
  }

  @Test("A reload that lowers the limit is no later: the first connection after it is taken one by one")
  func loweredByReload() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.budget.setLimit(10)
    let settings = WorkerSettings(Configuration.Timeouts())
    bench.command(.updateSettings(settings), expecting: [.cancel(.accept(.listener))])
    bench.turn([.failed(.accept(.listener), ECANCELED)], expecting: [.poll(.listener, .readable)])
    bench.command(.updateSettings(settings), expecting: [])
  }

  @Test("Descriptors that run out while polling pause accepting as well, and the permit is given back")
  func descriptorsWhilePolling() {
    let bench = Self.bench(limit: 8)
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)], expecting: [.acceptNow(.listener, fails: EMFILE)])
    #expect(bench.budget.usedCount == 0)
    bench.advance(milliseconds(10), expecting: [.poll(.listener, .readable)])
  }
}

@Suite struct ListenerClosingTests {
  private static let target = "127.0.0.1:8080"

  @Test("What waits in the queue is taken before the listener is closed")
  func drains() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(
      .closeListener(WorkerBench.listenerID),
      expecting: [.stopQueueing(.listener), .cancel(.accept(.listener))])
    // One more slipped in before the cancellation.
    let late = Descriptor(rawValue: 1_000_050)
    bench.turn(
      [.accepted(late, on: .listener)],
      expecting: [.hearAgain(late)] + WorkerBench.connecting(late, .secondServer, to: Self.target))
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: WorkerBench.closingListener(taking: (.client, .server), connectingTo: Self.target))
    #expect(bench.worker.connections.usedCount == 2)
    #expect(bench.listenersAreQuiet)
  }

  @Test("A listener that takes connections one by one takes what waits as well")
  func drainsWhilePolling() {
    let bench = WorkerBench(limit: 1)
    bench.command(
      .addListener(WorkerBench.listenerID, .listener, WorkerBench.plan(to: Self.target)),
      expecting: [.poll(.listener, .readable)])
    bench.command(
      .closeListener(WorkerBench.listenerID),
      expecting: [.stopQueueing(.listener), .cancel(.poll(.listener, .readable))])
    let last = Descriptor(rawValue: 1_000_050)
    // The second goes beyond the limit: it would be reset otherwise.
    bench.turn(
      [.failed(.poll(.listener, .readable), ECANCELED)],
      expecting: WorkerBench.closingListener(
        taking: (.client, .server), (last, .secondServer), connectingTo: Self.target))
    #expect(bench.worker.connections.usedCount == 2)
    #expect(bench.listenersAreQuiet)
  }

  @Test("A paused listener closes at once")
  func paused() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn([.failed(.accept(.listener), EMFILE)], expecting: [])
    bench.command(
      .closeListener(WorkerBench.listenerID),
      expecting: [.stopQueueing(.listener), .acceptNow(.listener, fails: EMFILE), .close(.listener)])
    // The back-off that was set for it arms nothing.
    bench.advance(seconds(2), expecting: [])
  }

  @Test("Closed twice, or never there: nothing happens")
  func twice() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(
      .closeListener(WorkerBench.listenerID), .closeListener(WorkerBench.listenerID),
      .closeListener(ListenerID(rawValue: 9)),
      expecting: [.stopQueueing(.listener), .cancel(.accept(.listener))])
  }
}
