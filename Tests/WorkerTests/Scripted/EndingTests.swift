// Goal: a FIN and a reset are each passed on as what they are, in both orders and from both sides; the close reason
// tells who; nothing is closed before the kernel has finished with it. Method: a scripted kernel.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct HalfCloseTests {
  @Test("The downstream's FIN first")
  func downstreamFirst() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn([.ended(.client)], expecting: [.shutdown(.server)])
    // The other direction lives on.
    bench.turn(
      [.received("late", from: .server, buffer: 0)],
      expecting: [.send(.client, "late"), .receive(.server, expectsData: false)])
    bench.turn([.sent(4, to: .client)], expecting: [.recycle(0)])
    bench.turn([.ended(.server)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamClosed) == 1)
    bench.expectNothingHeld()
  }

  @Test("The upstream's FIN first")
  func upstreamFirst() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn([.ended(.server)], expecting: [.shutdown(.client)])
    bench.turn([.ended(.client)], expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamClosed) == 1)
    bench.expectNothingHeld()
  }

  @Test("A FIN goes behind the last byte, however long that takes")
  func finBehindBytes() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("last", from: .client, buffer: 0)],
      expecting: [.send(.server, "last"), .receive(.client, expectsData: false)])
    bench.turn([.ended(.client)], expecting: [])
    bench.turn(
      [.sent(1, to: .server)],
      expecting: [.recycle(0), .send(.server, "ast", .complete), .poll(.client, .hangUp)])
    // The watch that the slow sink called for serves the half-close as well.
    bench.turn([.sent(3, to: .server)], expecting: [.shutdown(.server)])
  }

  @Test("A FIN behind a piece that waits behind a piece")
  func finBehindTwoPieces() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [])
    bench.turn(
      [.sent(3, to: .server)],
      expecting: [.recycle(0), .send(.server, "two"), .receive(.client, expectsData: false)])
    bench.turn([.ended(.client)], expecting: [])
    bench.turn([.sent(3, to: .server)], expecting: [.recycle(1), .shutdown(.server)])
  }

  @Test("A FIN that is known with the last bytes goes into one segment with them")
  func finWithLastBytes() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("bye", from: .server, buffer: 0, last: true)],
      expecting: [.send(.client, "bye", .immediateBeforeMore)])
    bench.turn([.sent(3, to: .client)], expecting: [.recycle(0), .shutdown(.client)])
    bench.turn(
      [.received("yes", from: .client, buffer: 1, last: true)],
      expecting: [.send(.server, "yes", .immediateBeforeMore)])
    // The close may have to wait for what is in flight.
    bench.turn([.sent(3, to: .server)], expecting: [.recycle(1), .shutdown(.server)] + WorkerBench.ending())
    #expect(bench.closed(.upstreamClosed) == 1)
    #expect(bench.count(.relayedBufferedBytes) == 6)
    bench.expectNothingHeld()
  }

  @Test("… also if they wait behind a piece, and the FIN alone if they find no room")
  func finWithLastBytesBehindAPiece() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn(
      [.received("two", from: .client, buffer: 1, last: true)], expecting: [])
    bench.turn(
      [.sent(3, to: .server)], expecting: [.recycle(0), .send(.server, "two", .immediateBeforeMore)])
    bench.turn(
      [.sent(1, to: .server)],
      expecting: [.recycle(1), .send(.server, "wo", .complete), .poll(.client, .hangUp)])
    bench.turn([.sent(2, to: .server)], expecting: [.shutdown(.server)])
  }

  @Test("Both FINs in one turn")
  func bothAtOnce() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.ended(.server), .ended(.client)], expecting: [.shutdown(.client)] + WorkerBench.ending())
    #expect(bench.closed(.upstreamClosed) == 1)
  }

  @Test("A side that vanished before the FIN could be passed on counts as a reset")
  func shutdownRefused() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.ended(.client)],
      expecting: [
        .shutdown(.server, fails: ENOTCONN), .resetOnClose(.client), .resetOnClose(.server),
        .cancel(.receive(.server)),
      ])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamReset) == 1)
  }

  @Test("A reset after the FIN is seen and passed on")
  func resetAfterHalfClose() {
    let bench = WorkerBench()
    bench.relay()
    bench.halfClose()
    bench.turn(
      [.ready(.client, .hangUp, events: POLLERR | POLLHUP)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.server))])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamReset) == 1)
    bench.expectNothingHeld()
  }

  @Test("A hang-up without an error is no reset")
  func hangUpAlone() {
    let bench = WorkerBench()
    bench.relay()
    bench.halfClose()
    bench.turn([.ready(.client, .hangUp, events: POLLHUP)], expecting: [])
    bench.turn([.ended(.server)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamClosed) == 1)
  }

  @Test("A connection whose second FIN comes while a reset is watched for")
  func secondFINWhileWatched() {
    let bench = WorkerBench()
    bench.relay()
    bench.halfClose()
    bench.turn([.ended(.server)], expecting: [.cancel(.poll(.client, .hangUp))])
    bench.turn([.failed(.poll(.client, .hangUp), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamClosed) == 1)
    bench.expectNothingHeld()
  }
}

@Suite struct ResetTests {
  /// Where a reset can show, and whom it is laid to.
  struct Case: CustomTestStringConvertible {
    var operation: Pending
    var reason: CloseReason
    var testDescription: String
  }

  @Test(
    "A reset on either side resets the other",
    arguments: [
      Case(operation: .receive(.client), reason: .downstreamReset, testDescription: "reading the downstream"),
      Case(operation: .receive(.server), reason: .upstreamReset, testDescription: "reading the upstream"),
    ])
  func whileReading(_ reset: Case) {
    let bench = WorkerBench()
    bench.relay()
    let other: Pending = reset.operation == .receive(.client) ? .receive(.server) : .receive(.client)
    bench.turn(
      [.failed(reset.operation, ECONNRESET)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(other)])
    bench.turn([.failed(other, ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(reset.reason) == 1)
    #expect(bench.accessLog.pop()?.errno == ECONNRESET)
    bench.expectNothingHeld()
  }

  @Test("A reset that a send finds", arguments: [ECONNRESET, EPIPE])
  func whileSending(_ error: Int32) {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("x", from: .client, buffer: 0)],
      expecting: [.send(.server, "x"), .receive(.client, expectsData: false)])
    bench.turn(
      [.failed(.send(.server), error)],
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .recycle(0), .cancel(.receive(.client)),
        .cancel(.receive(.server)),
      ])
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamReset) == 1)
    bench.expectNothingHeld()
  }

  @Test("A reset of the downstream while its bytes still wait for a slow upstream")
  func withBytesPending() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("abc", from: .client, buffer: 0)],
      expecting: [.send(.server, "abc"), .receive(.client, expectsData: false)])
    bench.turn(
      [.failed(.send(.server), EAGAIN)],
      expecting: [.recycle(0), .send(.server, "abc", .complete), .poll(.client, .hangUp)])
    bench.turn(
      [.failed(.receive(.client), ECONNRESET)],
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.server)), .cancel(.send(.server)),
        .cancel(.poll(.client, .hangUp)),
      ])
    // The chunk belongs to the kernel until the send is over.
    #expect(bench.worker.chunks.usedCount == 1)
    // The reset ended the watch faster than its cancellation did: it is one reset.
    bench.turn([.ready(.client, .hangUp, events: POLLERR | POLLHUP)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: [])
    bench.turn([.failed(.send(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamReset) == 1)
    bench.expectNothingHeld()
  }
}

@Suite struct SwallowedResetTests {
  /// The upstream is slow to take what the client sends, and its own bytes are being read.
  private static func sendingSlowly() -> WorkerBench {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("request", from: .client, buffer: 0)],
      expecting: [.send(.server, "request"), .receive(.client, expectsData: false)])
    bench.turn(
      [.sent(2, to: .server)],
      expecting: [.recycle(0), .send(.server, "quest", .complete), .poll(.client, .hangUp)])
    return bench
  }

  @Test("A short send that took the reset's error along doesn't make the reset a FIN")
  func swallowed() {
    let bench = Self.sendingSlowly()
    bench.turn(
      [.sent(3, to: .server), .ended(.server)],
      expecting: [
        .send(.server, "st", .complete), .peerAddress(.server, fails: ENOTCONN), .resetOnClose(.client),
        .resetOnClose(.server), .cancel(.receive(.client)), .cancel(.send(.server)), .cancel(.poll(.client, .hangUp)),
      ])
    bench.turn(
      [
        .failed(.send(.server), EPIPE), .failed(.receive(.client), ECANCELED),
        .failed(.poll(.client, .hangUp), ECANCELED),
      ], expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamReset) == 1)
    bench.expectNothingHeld()
  }

  @Test("Nor does a send whose failure is still to be reported")
  func swallowedBySendInFlight() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("request", from: .client, buffer: 0)],
      expecting: [.send(.server, "request"), .receive(.client, expectsData: false)])
    bench.turn(
      [.ended(.server), .failed(.send(.server), ECONNRESET)],
      expecting: [
        .peerAddress(.server, fails: ENOTCONN), .resetOnClose(.client), .resetOnClose(.server),
        .cancel(.receive(.client)), .cancel(.send(.server)), .recycle(0),
      ])
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamReset) == 1)
  }

  @Test("A FIN from a side that is slow to take bytes is a FIN")
  func slowFin() {
    let bench = Self.sendingSlowly()
    bench.turn(
      [.ended(.server)],
      expecting: [
        .peerAddress(.server, is: "127.0.0.1:8080"), .shutdown(.client),
      ])
    bench.turn([.sent(5, to: .server)], expecting: [])
  }
}

@Suite struct TearDownTests {
  @Test("Nothing is closed before each operation's final completion; late bytes are dropped, their buffer is not")
  func lateCompletions() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("x", from: .client, buffer: 0)],
      expecting: [.send(.server, "x"), .receive(.client, expectsData: false)])
    bench.command(
      .closeConnections(.shutdown),
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.client)), .cancel(.receive(.server)),
        .cancel(.send(.server)),
      ])
    // The receive was faster than its cancellation.
    bench.turn([.received("late", from: .server, buffer: 2)], expecting: [.recycle(2)])
    bench.turn([.sent(1, to: .server)], expecting: [.recycle(0)])
    #expect(bench.worker.connections.usedCount == 1)
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: WorkerBench.ending() + [.notify(.control)])
    #expect(bench.closed(.shutdown) == 1)
    // What the server took counts, what was read too late to be passed on does not.
    #expect(bench.count(.relayedBufferedBytes) == 1)
    #expect(bench.count(.sentBytes) == 0)
    bench.expectNothingHeld()
  }

  @Test("A stale completion reaches no connection, but its buffer goes back")
  func staleToken() throws {
    let bench = WorkerBench()
    bench.relay()
    let stale = try #require(bench.script.token(of: .receive(.client)))
    bench.turn([.ended(.client)], expecting: [.shutdown(.server)])
    bench.turn([.ended(.server)], expecting: WorkerBench.ending())
    // The slot is reused by the next connection.
    bench.relay()
    bench.turn([.stray(stale, result: 5, buffer: 3)], expecting: [.recycle(3)])
    bench.turn([.stray(stale, result: -ECONNRESET)], expecting: [])
    // A token for a slot that never was, and one of an operation that isn't in flight.
    let nowhere = Token(slot: 7, generation: 0, operation: .send(.toUpstream))
    bench.turn([.stray(nowhere, result: 5)], expecting: [])
    let idle = Token(slot: 0, generation: 1, operation: .send(.toUpstream))
    bench.turn([.stray(idle, result: 5)], expecting: [])
    #expect(bench.worker.connections.usedCount == 1)
    #expect(bench.worker.buffersInUse == 0)
  }

  @Test("A connection that is torn down while it connects waits for the connect")
  func whileConnecting() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "127.0.0.1:8080"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "127.0.0.1:8080"))
    bench.command(
      .closeConnections(.drainDeadline),
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(.connect(.server))])
    // It was established all the same.
    bench.turn([.connected(.server)], expecting: WorkerBench.ending() + [.notify(.control)])
    #expect(bench.closed(.drainDeadline) == 1)
    bench.expectNothingHeld()
  }
}
