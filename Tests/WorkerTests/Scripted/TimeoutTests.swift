// Goal: silent connections end when their time is up, neither earlier nor with bytes that look complete and aren't.
// Method: a scripted kernel with a virtual clock.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct TimeoutTests {
  private static func settings(idle: UInt64 = .max, halfClose: UInt64 = .max) -> WorkerSettings {
    var settings = WorkerSettings(Configuration.Timeouts())
    settings.idleTimeout = idle
    settings.halfCloseTimeout = halfClose
    return settings
  }

  /// The kernel has nothing left to deliver to either side.
  private static let allDelivered: [Step] = [.deliveredBytes(.server, are: nil), .deliveredBytes(.client, are: nil)]

  /// Later than a deadline by more than the wheel's grain.
  private static let grain = milliseconds(3)

  @Test("An idle connection ends with a FIN to both sides")
  func idle() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(10)))
    bench.relay()
    bench.advance(seconds(10) - 1, expecting: [])
    bench.advance(
      Self.grain, expecting: Self.allDelivered + [.cancel(.receive(.client)), .cancel(.receive(.server))])
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.idleTimeout) == 1)
    bench.expectNothingHeld()
  }

  @Test("Each byte, in either direction, puts the end off")
  func activity() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(10)))
    bench.relay()
    for buffer in UInt16(0)..<3 {
      // The second time, after 18 seconds, the connection has lasted long enough to be kept alive.
      let settling: [Step] = buffer == 1 ? [.keepAlive(.server)] : []
      bench.advance(
        seconds(9), [.received("x", from: .server, buffer: buffer)],
        expecting: [.send(.client, "x"), .receive(.server, expectsData: false)] + settling)
      bench.turn([.sent(1, to: .client)], expecting: [.recycle(buffer)])
    }
    bench.advance(seconds(10) - 1, expecting: [])
    bench.advance(
      Self.grain, expecting: Self.allDelivered + [.cancel(.receive(.client)), .cancel(.receive(.server))])
  }

  @Test("A connection that times out with bytes undelivered is reset: its stream was cut")
  func idleWithBytesPending() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(10)))
    bench.relay()
    bench.turn(
      [.received("abc", from: .client, buffer: 0)],
      expecting: [.send(.server, "abc"), .receive(.client, expectsData: false)])
    bench.turn(
      [.failed(.send(.server), EAGAIN)],
      expecting: [.recycle(0), .send(.server, "abc", .complete), .poll(.client, .hangUp)])
    bench.advance(
      seconds(10) + Self.grain,
      expecting: Self.allDelivered + [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.client)), .cancel(.receive(.server)),
        .cancel(.send(.server)), .cancel(.poll(.client, .hangUp)),
      ])
    bench.turn([.failed(.send(.server), ECANCELED)], expecting: [])
    bench.turn([.failed(.poll(.client, .hangUp), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.idleTimeout) == 1)
    bench.expectNothingHeld()
  }

  @Test("The half that is left open ends by its own timeout, with a reset")
  func halfClose() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(100), halfClose: seconds(10)))
    bench.relay()
    bench.advance(seconds(5), [.ended(.client)], expecting: [.shutdown(.server)])
    bench.advance(milliseconds(53), expecting: [.poll(.client, .hangUp)])
    bench.advance(
      seconds(9), [.received("x", from: .server, buffer: 0)],
      expecting: [.send(.client, "x"), .receive(.server, expectsData: false), .keepAlive(.server)])
    bench.turn([.sent(1, to: .client)], expecting: [.recycle(0)])
    bench.advance(seconds(10) - 1, expecting: [])
    bench.advance(
      Self.grain,
      expecting: Self.allDelivered + [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.server)), .cancel(.poll(.client, .hangUp)),
      ])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: [])
    bench.turn([.failed(.poll(.client, .hangUp), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.halfCloseTimeout) == 1)
    bench.expectNothingHeld()
  }

  @Test("The sooner of the two timeouts counts, and names the reason")
  func idleSooner() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(5), halfClose: seconds(10)))
    bench.relay()
    bench.halfClose()
    bench.advance(
      seconds(5), expecting: Self.allDelivered + [.cancel(.receive(.server)), .cancel(.poll(.client, .hangUp))])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: [])
    bench.turn([.failed(.poll(.client, .hangUp), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.idleTimeout) == 1)
  }

  @Test("As long as the kernel delivers what it was given, there is no silence; when it stops, there is one more look")
  func slowDelivery() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(10)))
    bench.relay()
    let look = { (count: Int) -> [Step] in [.deliveredBytes(.server, are: nil), .deliveredBytes(.client, are: count)] }
    // The first look has nothing to compare with. The next is ten seconds later, and a whole silence after that another.
    bench.advance(seconds(10) + Self.grain, expecting: look(1_000))
    bench.advance(seconds(10) + Self.grain, expecting: look(2_000) + [.keepAlive(.server)])
    bench.advance(seconds(10) - 1, expecting: [])
    bench.advance(Self.grain, expecting: look(2_500))
    bench.advance(seconds(10) + Self.grain, expecting: look(3_000))
    bench.advance(seconds(10) + Self.grain, expecting: look(3_000))
    bench.advance(
      seconds(10) + Self.grain, expecting: look(3_000) + [.cancel(.receive(.client)), .cancel(.receive(.server))])
  }

  @Test("A byte between two looks begins a silence of its own")
  func byteBetweenLooks() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(20)))
    bench.relay()
    let look: [Step] = [.deliveredBytes(.server, are: 7), .deliveredBytes(.client, are: nil)]
    bench.advance(seconds(10) + Self.grain, expecting: [.keepAlive(.server)])
    bench.advance(seconds(10) + Self.grain, expecting: look)
    bench.advance(
      seconds(5), [.received("x", from: .server, buffer: 0)],
      expecting: [.send(.client, "x"), .receive(.server, expectsData: false)])
    bench.turn([.sent(1, to: .client)], expecting: [.recycle(0)])
    bench.advance(seconds(20) - 1, expecting: [])
    bench.advance(Self.grain, expecting: look)
    bench.advance(
      seconds(10) + Self.grain, expecting: look + [.cancel(.receive(.client)), .cancel(.receive(.server))])
  }

  @Test("A connection that lasts is kept alive, once, and a Unix socket not at all", arguments: [false, true])
  func keptAlive(isUnix: Bool) {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(100)))
    if isUnix {
      bench.relayToUnix()
    } else {
      bench.relay()
    }
    bench.advance(seconds(10) - 1, expecting: [])
    bench.advance(Self.grain, expecting: isUnix ? [] : [.keepAlive(.server)])
    bench.advance(seconds(80), expecting: [])
  }

  @Test("Without timeouts nothing is ever due, and an idle worker sleeps for good")
  func never() {
    let bench = WorkerBench(settings: Self.settings())
    bench.relay()
    bench.advance(seconds(86_400 * 365), expecting: [.keepAlive(.server)])
    bench.turn(expecting: [])
    #expect(bench.script.deadline == .max)
  }

  @Test("A timeout of a hundred years is legal")
  func century() {
    let bench = WorkerBench(settings: Self.settings(idle: seconds(86_400 * 365 * 100)))
    bench.relay()
    bench.advance(seconds(86_400 * 365), expecting: [.keepAlive(.server)])
    #expect(bench.worker.connections.usedCount == 1)
  }
}
