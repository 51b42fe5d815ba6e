// Goal: a side that is not read because the other doesn't take its bytes is watched for a reset, once and at no further
// cost, and its reset ends the connection at once. Method: a scripted kernel; see `WorkerBench`. Bulk has the same in
// `SpliceTests`.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct BackPressureTests {
  /// A direction, by the sockets that it leads from and to.
  struct Way: CustomTestStringConvertible {
    var source: Descriptor
    var sink: Descriptor
    var reset: CloseReason
    var testDescription: String

    static let both = [
      Way(source: .client, sink: .server, reset: .downstreamReset, testDescription: "to the upstream"),
      Way(source: .server, sink: .client, reset: .upstreamReset, testDescription: "to the downstream"),
    ]
  }

  /// A message that the sink doesn't take at once.
  private static func sendSlowly(
    _ bench: WorkerBench, _ way: Way, buffer: UInt16 = 0, arming watch: [Step],
    sourceLocation: Testing.SourceLocation = #_sourceLocation
  ) {
    bench.turn(
      [.received("abc", from: way.source, buffer: buffer)],
      expecting: [.send(way.sink, "abc"), .receive(way.source, expectsData: false)], sourceLocation: sourceLocation)
    bench.turn(
      [.failed(.send(way.sink), EAGAIN)],
      expecting: [.recycle(buffer), .send(way.sink, "abc", .complete)] + watch, sourceLocation: sourceLocation)
  }

  @Test("However often the sink is slow, its source is watched once", arguments: Way.both)
  func oneWatch(_ way: Way) {
    let bench = WorkerBench()
    bench.relay()
    Self.sendSlowly(bench, way, arming: [.poll(way.source, .hangUp)])
    // Short sends of the rest are part of the same slowness.
    bench.turn([.sent(1, to: way.sink)], expecting: [.send(way.sink, "bc", .complete)])
    bench.turn([.sent(2, to: way.sink)], expecting: [])
    Self.sendSlowly(bench, way, buffer: 1, arming: [])
    bench.turn([.sent(3, to: way.sink)], expecting: [])
  }

  @Test("Slow both ways: one watch for each side")
  func bothWays() {
    let bench = WorkerBench()
    bench.relay()
    Self.sendSlowly(bench, Way.both[0], buffer: 0, arming: [.poll(.client, .hangUp)])
    Self.sendSlowly(bench, Way.both[1], buffer: 1, arming: [.poll(.server, .hangUp)])
  }

  @Test("A reset behind bytes that are still being read is left to the receive", arguments: Way.both)
  func resetBehindBytes(_ way: Way) {
    let bench = WorkerBench()
    bench.relay()
    Self.sendSlowly(bench, way, arming: [.poll(way.source, .hangUp)])
    bench.turn([.ready(way.source, .hangUp, events: POLLERR | POLLHUP)], expecting: [])
    bench.turn([.received("def", from: way.source, buffer: 1)], expecting: [.recycle(1)])
    #expect(bench.worker.connections.usedCount == 1)
  }

  @Test("A reset of a source that nobody reads resets the other side", arguments: Way.both)
  func reset(_ way: Way) {
    let bench = WorkerBench()
    bench.relay()
    Self.sendSlowly(bench, way, arming: [.poll(way.source, .hangUp)])
    // One piece is read ahead; after it the source has no receive.
    bench.turn([.received("def", from: way.source, buffer: 1)], expecting: [.recycle(1)])
    #expect(bench.worker.chunks.usedCount == 2)
    bench.turn(
      [.ready(way.source, .hangUp, events: POLLERR | POLLHUP)],
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(way.sink)), .cancel(.send(way.sink)),
      ])
    // What waited is dropped; what is being sent belongs to the kernel until the send is over.
    #expect(bench.worker.chunks.usedCount == 1)
    bench.turn([.failed(.receive(way.sink), ECANCELED)], expecting: [])
    bench.turn([.failed(.send(way.sink), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(way.reset) == 1)
    #expect(bench.accessLog.pop()?.errno == ECONNRESET)
    bench.expectNothingHeld()
  }

  @Test("A hang-up without an error is no reset: the bytes go on, and the next slow send watches again")
  func hangUpAlone() {
    let bench = WorkerBench()
    bench.relay()
    Self.sendSlowly(bench, Way.both[0], arming: [.poll(.client, .hangUp)])
    bench.turn([.ready(.client, .hangUp, events: POLLHUP)], expecting: [])
    bench.turn([.sent(3, to: .server)], expecting: [])
    Self.sendSlowly(bench, Way.both[0], buffer: 1, arming: [.poll(.client, .hangUp)])
  }

  @Test("The watch outlives the slowness, and the tear-down waits for it")
  func watchRemains() {
    let bench = WorkerBench()
    bench.relay()
    Self.sendSlowly(bench, Way.both[0], arming: [.poll(.client, .hangUp)])
    bench.turn([.sent(3, to: .server)], expecting: [])
    bench.turn([.ended(.client)], expecting: [.shutdown(.server)])
    bench.turn([.ended(.server)], expecting: [.cancel(.poll(.client, .hangUp))])
    bench.turn([.failed(.poll(.client, .hangUp), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamClosed) == 1)
    bench.expectNothingHeld()
  }

  @Test("A Unix upstream is not watched: it hangs up in good order")
  func unixUpstream() {
    let bench = WorkerBench()
    bench.relayToUnix()
    Self.sendSlowly(bench, Way.both[1], buffer: 0, arming: [])
    // Its client is.
    Self.sendSlowly(bench, Way.both[0], buffer: 1, arming: [.poll(.client, .hangUp)])
  }

  @Test("A handshake that goes out slowly leaves the upstream alone until the relay starts")
  func beforeRelay() throws {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80", "10.1.0.2:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    // What a TLS handshake does while its upstream is being connected, without the TLS.
    let taken = bench.worker.chunks.take()
    let chunk = try #require(taken)
    chunk.copyMemory(from: "flight", byteCount: 6)
    bench.script.begin(completing: [], expecting: [.send(.client, "flight")])
    let piece = Piece(base: chunk, count: 6, home: .chunk)
    bench.worker.send(piece, 0, bench.worker.connections[0], .toDownstream)
    #expect(bench.script.end() == nil)
    bench.worker.connections[0].pointee.phase = .handshaking
    bench.turn([.sent(2, to: .client)], expecting: [.send(.client, "ight", .complete)])
    bench.worker.connections[0].pointee.phase = .connecting
    bench.turn([.sent(2, to: .client)], expecting: [.send(.client, "ht", .complete)])
    // A watch would be in flight on the socket that is closed here.
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [
        .close(.server), .openSocket(AF_INET, gives: .secondServer), .configureStream(.secondServer),
        .connect(.secondServer, to: "10.1.0.2:80"),
      ])
    bench.turn(
      [.connected(.secondServer)],
      expecting: [
        .receive(.client, expectsData: true), .receive(.secondServer, expectsData: false),
        .poll(.secondServer, .hangUp),
      ])
  }
}
