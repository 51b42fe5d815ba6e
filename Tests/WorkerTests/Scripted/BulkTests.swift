// Goal: bulk leaves user space: a few full receives turn a half-pipe to splice, small ones turn it back, and where no
// pipe is to be had it copies through a large buffer. Method: a scripted kernel with receive buffers of 16 bytes.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct SpliceTests {
  private static let full = "0123456789abcdef"
  private static let capacity = PipePool.capacity

  /// Three full receives from the client, all sent; the last completion is left to the test.
  private static func untilBulk(_ bench: WorkerBench) {
    bench.relay()
    for buffer in UInt16(0)..<2 {
      bench.turn(
        [.received(full, from: .client, buffer: buffer, socketNonEmpty: true)],
        expecting: [.send(.server, full), .receive(.client, expectsData: true)])
      bench.turn([.sent(16, to: .server)], expecting: [.recycle(buffer)])
    }
    // The third: no further receive, so that the half-pipe drains.
    bench.turn(
      [.received(full, from: .client, buffer: 2, socketNonEmpty: true)], expecting: [.send(.server, full)])
  }

  /// A half-pipe that splices and waits for its source.
  private static func spliced() -> WorkerBench {
    let bench = WorkerBench()
    untilBulk(bench)
    bench.turn(
      [.sent(16, to: .server)],
      expecting: [
        .recycle(2), .sendUnpaced(.server), .openPipe(capacity, gives: .scripted),
        .splice(.client, .pipeIn, capacity, moves: 100_000), .splice(.pipeOut, .server, 100_000, moves: 100_000),
        .splice(.client, .pipeIn, capacity, moves: -Int(EAGAIN)), .poll(.client, .readable),
      ])
    return bench
  }

  @Test("Three full receives turn a half-pipe to bulk, and the other direction stays as it is")
  func entering() {
    let bench = Self.spliced()
    #expect(bench.count(.relayedSplicedBytes) == 100_000)
    #expect(bench.count(.relayedBufferedBytes) == 48)
    #expect(bench.count(.receivedBytes) == 100_048)
    #expect(bench.worker.pipes.usedCount == 1)
    bench.turn(
      [.received("reply", from: .server, buffer: 3)],
      expecting: [.send(.client, "reply"), .receive(.server, expectsData: false)])
  }

  @Test("A receive that leaves the socket empty is not bulk")
  func notBulk() {
    let bench = WorkerBench()
    bench.relay()
    for round in UInt16(0)..<6 {
      bench.turn(
        [.received(Self.full, from: .client, buffer: round % 4, socketNonEmpty: round % 3 != 2)],
        expecting: [.send(.server, Self.full), .receive(.client, expectsData: round % 3 != 2)])
      bench.turn([.sent(16, to: .server)], expecting: [.recycle(round % 4)])
    }
  }

  @Test("A full sink stops the source; what is in the pipe goes first")
  func sinkBlocks() {
    let bench = Self.spliced()
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: 50_000),
        .splice(.pipeOut, .server, 50_000, moves: 20_000),
        .splice(.client, .pipeIn, Self.capacity - 30_000, moves: -Int(EAGAIN)),
        .splice(.pipeOut, .server, 30_000, moves: -Int(EAGAIN)), .poll(.server, .writable),
        .poll(.client, .hangUp),
      ])
    // Full again: the source is watched already.
    bench.turn(
      [.ready(.server, .writable, events: POLLOUT)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity - 30_000, moves: Self.capacity - 30_000),
        .splice(.pipeOut, .server, Self.capacity, moves: -Int(EAGAIN)), .poll(.server, .writable),
      ])
    // A full pipe is not filled any further.
    bench.turn(
      [.ready(.server, .writable, events: POLLOUT)],
      expecting: [
        .splice(.pipeOut, .server, Self.capacity, moves: Self.capacity),
        .splice(.client, .pipeIn, Self.capacity, moves: -Int(EAGAIN)), .poll(.client, .readable),
      ])
  }

  @Test(
    "A poll that the kernel refuses ends the connection: it would be refused again at once",
    arguments: [ENOSPC, ENOMEM])
  func refusedPoll(error: Int32) {
    let bench = Self.spliced()
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: 50_000),
        .splice(.pipeOut, .server, 50_000, moves: -Int(EAGAIN)), .poll(.server, .writable), .poll(.client, .hangUp),
      ])
    bench.turn(
      [.failed(.poll(.server, .writable), error)],
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .close(.pipeOut), .close(.pipeIn), .cancel(.receive(.server)),
        .cancel(.poll(.client, .hangUp)),
      ])
    bench.turn(
      [.failed(.receive(.server), ECANCELED), .failed(.poll(.client, .hangUp), ECANCELED)],
      expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamReset) == 1)
    bench.expectNothingHeld()
  }

  @Test("One half-pipe moves a megabyte per turn at most, whoever could move more")
  func fairness() {
    let bench = Self.spliced()
    let round: [Step] = [
      .splice(.client, .pipeIn, Self.capacity, moves: Self.capacity),
      .splice(.pipeOut, .server, Self.capacity, moves: Self.capacity),
    ]
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: round + round + round + round + [.poll(.client, .readable)])
    #expect(bench.count(.relayedSplicedBytes) == 100_000 + 1_048_576)
  }

  @Test("Four small turns in a row lead back to buffers, and the pipe is kept for the next")
  func leaving() {
    let bench = Self.spliced()
    let small: [Step] = [
      .splice(.client, .pipeIn, Self.capacity, moves: 100), .splice(.pipeOut, .server, 100, moves: 100),
      .splice(.client, .pipeIn, Self.capacity, moves: -Int(EAGAIN)),
    ]
    for _ in 0..<3 {
      bench.turn(
        [.ready(.client, .readable, events: POLLIN)], expecting: small + [.poll(.client, .readable)])
    }
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)], expecting: small + [.receive(.client, expectsData: false)])
    #expect(bench.worker.pipes.usedCount == 0)
    // The kept pipe serves the next bulk without a system call.
    for buffer in UInt16(0)..<2 {
      bench.turn(
        [.received(Self.full, from: .client, buffer: buffer, socketNonEmpty: true)],
        expecting: [.send(.server, Self.full), .receive(.client, expectsData: true)])
      bench.turn([.sent(16, to: .server)], expecting: [.recycle(buffer)])
    }
    bench.turn(
      [.received(Self.full, from: .client, buffer: 2, socketNonEmpty: true)],
      expecting: [.send(.server, Self.full)])
    bench.turn(
      [.sent(16, to: .server)],
      expecting: [
        .recycle(2), .sendUnpaced(.server), .splice(.client, .pipeIn, Self.capacity, moves: -Int(EAGAIN)),
        .poll(.client, .readable),
      ])
  }

  @Test("A FIN in bulk is passed on behind the last byte")
  func finBehindPipe() {
    let bench = Self.spliced()
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: 500), .splice(.pipeOut, .server, 500, moves: 200),
        .splice(.client, .pipeIn, Self.capacity - 300, moves: 0),
        .splice(.pipeOut, .server, 300, moves: -Int(EAGAIN)), .poll(.server, .writable),
        .poll(.client, .hangUp),
      ])
    bench.turn(
      [.ready(.server, .writable, events: POLLOUT)],
      expecting: [.splice(.pipeOut, .server, 300, moves: 300), .shutdown(.server)])
    #expect(bench.worker.pipes.usedCount == 0)
    #expect(bench.count(.receivedBytes) == 100_548)
  }

  @Test("A reset of the source, and a reset of the sink: the pipe is closed with the bytes in it")
  func resets() {
    let source = Self.spliced()
    source.turn(
      [.ready(.client, .readable, events: POLLIN | POLLERR | POLLHUP)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: -Int(ECONNRESET)),
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.server)),
      ])
    source.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(source.closed(.downstreamReset) == 1)
    source.expectNothingHeld()

    let sink = Self.spliced()
    sink.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: 500), .splice(.pipeOut, .server, 500, moves: -Int(EPIPE)),
        .resetOnClose(.client), .resetOnClose(.server), .close(.pipeOut), .close(.pipeIn),
        .cancel(.receive(.server)),
      ])
    sink.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(sink.closed(.upstreamReset) == 1)
    sink.expectNothingHeld()
  }

  @Test("A reset of the source is noticed while the sink is full, although nobody reads from the source")
  func resetBehindFullSink() {
    let bench = Self.spliced()
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: Self.capacity),
        .splice(.pipeOut, .server, Self.capacity, moves: -Int(EAGAIN)), .poll(.server, .writable),
        .poll(.client, .hangUp),
      ])
    bench.turn(
      [.ready(.client, .hangUp, events: POLLERR | POLLHUP)],
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .close(.pipeOut), .close(.pipeIn),
        .cancel(.receive(.server)), .cancel(.poll(.server, .writable)),
      ])
    bench.turn([.failed(.poll(.server, .writable), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamReset) == 1)
    bench.expectNothingHeld()
  }

  @Test("A source that reads as ended because a send to it took the reset's error along")
  func swallowedReset() {
    let bench = Self.spliced()
    bench.turn(
      [.received("reply", from: .server, buffer: 3)],
      expecting: [.send(.client, "reply"), .receive(.server, expectsData: false)])
    bench.turn(
      [.sent(2, to: .client)],
      expecting: [.recycle(3), .send(.client, "ply", .complete), .poll(.server, .hangUp)])
    bench.turn(
      [.sent(1, to: .client), .ready(.client, .readable, events: POLLIN | POLLHUP)],
      expecting: [
        .send(.client, "ly", .complete), .splice(.client, .pipeIn, Self.capacity, moves: 0),
        .peerAddress(.client, fails: ENOTCONN), .resetOnClose(.client), .resetOnClose(.server),
        .cancel(.receive(.server)), .cancel(.send(.client)), .cancel(.poll(.server, .hangUp)),
      ])
  }

  @Test("A connection that is cut in bulk gives its pipe back only empty")
  func closedWithBytes() {
    let bench = Self.spliced()
    bench.turn(
      [.ready(.client, .readable, events: POLLIN)],
      expecting: [
        .splice(.client, .pipeIn, Self.capacity, moves: 500),
        .splice(.pipeOut, .server, 500, moves: -Int(EAGAIN)), .poll(.server, .writable),
        .poll(.client, .hangUp),
      ])
    bench.command(
      .closeConnections(.shutdown),
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .close(.pipeOut), .close(.pipeIn),
        .cancel(.receive(.server)), .cancel(.poll(.server, .writable)), .cancel(.poll(.client, .hangUp)),
      ])
    bench.turn([.failed(.poll(.server, .writable), ECANCELED)], expecting: [])
    bench.turn([.failed(.poll(.client, .hangUp), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending() + [.notify(.control)])
    bench.expectNothingHeld()
  }
}

@Suite struct CopyTests {
  private static let full = "0123456789abcdef"
  private static let bulkSize = WorkerMemory.bulkReceiveSize

  /// A half-pipe in bulk that got no pipe.
  private static func copied(_ refusal: [Step], pipesMax: Int = .max) -> WorkerBench {
    var settings = WorkerSettings(Configuration.Timeouts())
    settings.pipesMax = pipesMax
    let bench = WorkerBench(settings: settings)
    bench.relay()
    for buffer in UInt16(0)..<2 {
      bench.turn(
        [.received(full, from: .client, buffer: buffer, socketNonEmpty: true)],
        expecting: [.send(.server, full), .receive(.client, expectsData: true)])
      bench.turn([.sent(16, to: .server)], expecting: [.recycle(buffer)])
    }
    bench.turn(
      [.received(full, from: .client, buffer: 2, socketNonEmpty: true)], expecting: [.send(.server, full)])
    bench.turn(
      [.sent(16, to: .server)],
      expecting: [.recycle(2), .sendUnpaced(.server)] + refusal + [.receive(.client, into: bulkSize)])
    return bench
  }

  private static let noPipe: [Step] = [.openPipe(PipePool.capacity, fails: EMFILE)]

  @Test("Without a pipe, bulk goes through a large buffer")
  func refused() {
    let bench = Self.copied(Self.noPipe)
    #expect(bench.count(.pipesRefused) == 1)
    #expect(bench.worker.bulkBuffers.usedCount == 1)
    let large = String(repeating: "x", count: 100_000)
    bench.turn([.received(large, from: .client, socketNonEmpty: true)], expecting: [.send(.server, large)])
    bench.turn(
      [.sent(60_000, to: .server)],
      expecting: [.send(.server, String(repeating: "x", count: 40_000), .complete), .poll(.client, .hangUp)])
    bench.turn([.sent(40_000, to: .server)], expecting: [.receive(.client, into: Self.bulkSize)])
    #expect(bench.count(.receivedBytes) == 100_048)
    #expect(bench.count(.relayedBufferedBytes) == 100_048)
  }

  @Test("Where there is no room for a pipe, none is asked for")
  func noRoom() {
    let bench = Self.copied([], pipesMax: 0)
    #expect(bench.count(.pipesRefused) == 1)
    #expect(bench.worker.bulkBuffers.usedCount == 1)
  }

  @Test("A stream that pauses holds no large buffer")
  func pause() {
    let bench = Self.copied(Self.noPipe)
    let large = String(repeating: "x", count: 100_000)
    bench.turn([.received(large, from: .client)], expecting: [.send(.server, large)])
    bench.turn([.sent(100_000, to: .server)], expecting: [.poll(.client, .readable)])
    #expect(bench.worker.bulkBuffers.usedCount == 0)
    bench.turn([.ready(.client, .readable, events: POLLIN)], expecting: [.receive(.client, into: Self.bulkSize)])
  }

  @Test("A pipe of a page or two is no help")
  func shrunken() {
    var small = Pipe.scripted
    small.capacity = 4_096
    let bench = Self.copied([
      .openPipe(PipePool.capacity, gives: small), .close(.pipeOut), .close(.pipeIn),
    ])
    #expect(bench.worker.pipes.usedCount == 0)
  }

  @Test("A socket that can't splice is copied")
  func spliceInvalid() {
    let bench = Self.copied([
      .openPipe(PipePool.capacity, gives: .scripted),
      .splice(.client, .pipeIn, PipePool.capacity, moves: -Int(EINVAL)),
    ])
    #expect(bench.worker.pipes.usedCount == 0)
  }

  @Test("Four small receives in a row lead back to buffers")
  func leaving() {
    let bench = Self.copied(Self.noPipe)
    for _ in 0..<3 {
      bench.turn([.received("abc", from: .client)], expecting: [.send(.server, "abc")])
      bench.turn([.sent(3, to: .server)], expecting: [.poll(.client, .readable)])
      bench.turn([.ready(.client, .readable, events: POLLIN)], expecting: [.receive(.client, into: Self.bulkSize)])
    }
    bench.turn([.received("abc", from: .client)], expecting: [.send(.server, "abc")])
    bench.turn([.sent(3, to: .server)], expecting: [.receive(.client, expectsData: false)])
    #expect(bench.worker.bulkBuffers.usedCount == 0)
  }

  @Test("An interrupted receive holds no large buffer while it is repeated", arguments: [EAGAIN, EINTR])
  func interrupted(_ error: Int32) {
    let bench = Self.copied(Self.noPipe)
    bench.turn([.failed(.receive(.client), error)], expecting: [.poll(.client, .readable)])
    #expect(bench.worker.bulkBuffers.usedCount == 0)
    bench.turn([.ready(.client, .readable, events: POLLIN)], expecting: [.receive(.client, into: Self.bulkSize)])
    bench.turn([.received("abc", from: .client, socketNonEmpty: true)], expecting: [.send(.server, "abc")])
    bench.turn([.sent(3, to: .server)], expecting: [.receive(.client, into: Self.bulkSize)])
  }

  @Test("A FIN ends the direction and frees the large buffer")
  func fin() {
    let bench = Self.copied(Self.noPipe)
    bench.turn([.ended(.client)], expecting: [.shutdown(.server)])
    #expect(bench.worker.bulkBuffers.usedCount == 0)
  }

  @Test("A connection that is cut keeps the large buffer until the kernel has let go of it")
  func closed() {
    let bench = Self.copied(Self.noPipe)
    bench.command(
      .closeConnections(.shutdown),
      expecting: [
        .resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.client)), .cancel(.receive(.server)),
      ])
    #expect(bench.worker.bulkBuffers.usedCount == 1)
    bench.turn([.received("late", from: .client)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending() + [.notify(.control)])
    bench.expectNothingHeld()
  }
}
