// Goal: when no descriptor is left for upstream sockets, clients wait in the listening sockets' queues instead of being
// accepted and reset. Method: a scripted kernel with a virtual clock, whose openSocket fails.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct DescriptorShortageTests {
  private static let target = "127.0.0.1:8080"
  private static let otherClient = Descriptor(rawValue: 1_000_110)
  private static let otherListener = Descriptor(rawValue: 1_000_004)

  /// An accepted connection that finds no descriptor for its upstream; `pausing` is what that does to the listeners.
  private static func refused(_ client: Descriptor = .client, pausing: [Step] = []) -> [Step] {
    [.peerAddress(client, is: WorkerBench.clientAddress), .openSocket(AF_INET, fails: EMFILE)] + pausing
      + [.resetOnClose(client), .close(client)]
  }

  /// A listener that accepted a connection without a descriptor for its upstream, and pauses for the first time.
  private static func paused() -> WorkerBench {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: target))
    bench.turn([.accepted(.client, on: .listener)], expecting: refused(pausing: [.cancel(.accept(.listener))]))
    return bench
  }

  @Test("The multishot accept is cancelled, and armed again only when an upstream socket has opened")
  func pauses() {
    let bench = Self.paused()
    bench.turn([.failed(.accept(.listener), ECANCELED)], expecting: [])
    #expect(bench.script.deadline == bench.script.clock + milliseconds(10))
    bench.advance(milliseconds(10) - 1, expecting: [])
    bench.advance(1, expecting: [.poll(.listener, .readable)])
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, gives: .client)] + WorkerBench.connecting(to: Self.target) + [
        .acceptNow(.listener, fails: EAGAIN), .accept(.listener),
      ])
    #expect(bench.count(.acceptPausedByDescriptors) == 1)
    #expect(bench.budget.usedCount == 1)
  }

  @Test("Connections that slip in before the cancellation belong to the same shortage")
  func oneShortage() {
    let bench = Self.paused()
    bench.turn([.accepted(Self.otherClient, on: .listener)], expecting: Self.refused(Self.otherClient))
    #expect(bench.count(.acceptPausedByDescriptors) == 1)
    #expect(bench.worker.acceptRetryDelay == milliseconds(20))
    #expect(bench.closed(.descriptorsExhausted) == 2)
    bench.turn([.failed(.accept(.listener), ECANCELED)], expecting: [])
    bench.advance(milliseconds(10), expecting: [.poll(.listener, .readable)])
  }

  @Test("A multishot accept that ends by itself is neither cancelled nor armed again before the time")
  func multishotEnds() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.turn([.accepted(.client, on: .listener, more: false)], expecting: Self.refused())
    bench.advance(milliseconds(10), expecting: [.poll(.listener, .readable)])
  }

  @Test("A cancellation that is slower than the pause: the accept is armed by its end")
  func lateCancellation() {
    let bench = Self.paused()
    bench.advance(milliseconds(10), expecting: [])
    bench.turn([.failed(.accept(.listener), ECANCELED)], expecting: [.poll(.listener, .readable)])
  }

  @Test("Taken one by one, the first that finds no descriptor is the last that is taken; the pause is twice as long")
  func oneByOne() {
    let bench = Self.paused()
    bench.turn([.failed(.accept(.listener), ECANCELED)], expecting: [])
    bench.advance(milliseconds(10), expecting: [.poll(.listener, .readable)])
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, gives: Self.otherClient)] + Self.refused(Self.otherClient))
    #expect(bench.count(.acceptPausedByDescriptors) == 2)
    bench.advance(milliseconds(20) - 1, expecting: [])
    bench.advance(1, expecting: [.poll(.listener, .readable)])
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN)],
      expecting: [
        .acceptNow(.listener, fails: EAGAIN), .poll(.listener, .readable),
      ])
    #expect(bench.budget.usedCount == 0)
  }

  @Test("A shortage is every listener's: accepts are cancelled, and a poll that fires takes nothing")
  func everyListener() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(
      .addListener(ListenerID(rawValue: 1), Self.otherListener, WorkerBench.plan(to: Self.target)),
      expecting: [.accept(Self.otherListener)])
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: Self.refused(pausing: [.cancel(.accept(.listener)), .cancel(.accept(Self.otherListener))]))
    bench.turn(
      [.failed(.accept(.listener), ECANCELED), .failed(.accept(Self.otherListener), ECANCELED)], expecting: [])
    bench.advance(
      milliseconds(10), expecting: [.poll(.listener, .readable), .poll(Self.otherListener, .readable)])
    bench.turn(
      [.ready(.listener, .readable, events: POLLIN), .ready(Self.otherListener, .readable, events: POLLIN)],
      expecting: [.acceptNow(.listener, gives: .client)] + Self.refused())
    bench.advance(
      milliseconds(20), expecting: [.poll(.listener, .readable), .poll(Self.otherListener, .readable)])
  }
}
