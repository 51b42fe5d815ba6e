// Goal: the relay of small messages makes exactly the calls that it promises, one receive and one send per message, and
// gives every buffer back. Method: a scripted kernel; see `WorkerBench`.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct BufferedRelayTests {
  @Test("One message each way costs one receive and one send")
  func messages() {
    let bench = WorkerBench()
    bench.relay()
    for buffer in UInt16(0)..<2 {
      bench.turn(
        [.received("ping", from: .client, buffer: buffer)],
        expecting: [.send(.server, "ping"), .receive(.client, expectsData: false)])
      bench.turn([.sent(4, to: .server)], expecting: [.recycle(buffer)])
      bench.turn(
        [.received("pong!", from: .server, buffer: buffer + 2)],
        expecting: [.send(.client, "pong!"), .receive(.server, expectsData: false)])
      bench.turn([.sent(5, to: .client)], expecting: [.recycle(buffer + 2)])
    }
    #expect(bench.count(.receivedBytes) == 8)
    #expect(bench.count(.sentBytes) == 10)
    #expect(bench.count(.relayedBufferedBytes) == 18)
    #expect(bench.script.buffersOut.isEmpty)
  }

  @Test("A socket that holds more is read at once; one that is drained is waited for")
  func nonEmptyHint() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("a", from: .client, buffer: 0, socketNonEmpty: true)],
      expecting: [.send(.server, "a"), .receive(.client, expectsData: true)])
  }

  @Test("What a short send leaves moves to private memory, and the shared buffer goes back at once")
  func shortSend() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("message", from: .client, buffer: 1)],
      expecting: [.send(.server, "message"), .receive(.client, expectsData: false)])
    bench.turn(
      [.sent(3, to: .server)],
      expecting: [.recycle(1), .send(.server, "sage", .complete), .poll(.client, .hangUp)])
    #expect(bench.worker.chunks.usedCount == 1)
    // Short again: the chunk stays, the rest of it is sent. The source is watched already.
    bench.turn([.sent(1, to: .server)], expecting: [.send(.server, "age", .complete)])
    bench.turn([.sent(3, to: .server)], expecting: [])
    #expect(bench.worker.chunks.usedCount == 0)
    #expect(bench.count(.relayedBufferedBytes) == 7)
  }

  @Test("A full socket buffer is no error", arguments: [EAGAIN, EINTR, ENOBUFS])
  func refusedSend(_ error: Int32) {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("message", from: .client, buffer: 1)],
      expecting: [.send(.server, "message"), .receive(.client, expectsData: false)])
    bench.turn(
      [.failed(.send(.server), error)],
      expecting: [.recycle(1), .send(.server, "message", .complete), .poll(.client, .hangUp)])
    bench.turn([.sent(7, to: .server)], expecting: [])
    #expect(bench.worker.chunks.usedCount == 0)
  }

  @Test("A slow reader's connection reads ahead one piece and no more, in private memory")
  func readAhead() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn(
      [.sent(1, to: .server)],
      expecting: [.recycle(0), .send(.server, "ne", .complete), .poll(.client, .hangUp)])
    // Copied out of the shared buffer, and not another receive.
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [.recycle(1)])
    #expect(bench.worker.chunks.usedCount == 2)
    bench.turn(
      [.sent(2, to: .server)], expecting: [.send(.server, "two"), .receive(.client, expectsData: false)])
    bench.turn([.sent(3, to: .server)], expecting: [])
    #expect(bench.worker.chunks.usedCount == 0)
    #expect(bench.script.buffersOut.isEmpty)
  }

  @Test("A piece that arrives while a fast send is on its way waits in its shared buffer")
  func waitingInBuffer() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [])
    bench.turn(
      [.sent(3, to: .server)],
      expecting: [.recycle(0), .send(.server, "two"), .receive(.client, expectsData: false)])
    bench.turn([.sent(3, to: .server)], expecting: [.recycle(1)])
  }

  @Test("When a send falls short, the piece behind it moves to private memory as well")
  func waitingMovesToo() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [])
    bench.turn(
      [.sent(1, to: .server)],
      expecting: [.recycle(0), .recycle(1), .send(.server, "ne", .complete), .poll(.client, .hangUp)])
    bench.turn(
      [.sent(2, to: .server)], expecting: [.send(.server, "two"), .receive(.client, expectsData: false)])
  }

  @Test("An interrupted receive is repeated", arguments: [EAGAIN, EINTR])
  func interruptedReceive(_ error: Int32) {
    let bench = WorkerBench()
    bench.relay()
    bench.turn([.failed(.receive(.client), error)], expecting: [.receive(.client, expectsData: false)])
  }

  @Test("Directions don't wait for each other")
  func independentDirections() {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.received("up", from: .client, buffer: 0), .received("down", from: .server, buffer: 1)],
      expecting: [
        .send(.server, "up"), .receive(.client, expectsData: false),
        .send(.client, "down"), .receive(.server, expectsData: false),
      ])
    bench.turn(
      [.failed(.send(.server), EAGAIN)],
      expecting: [.recycle(0), .send(.server, "up", .complete), .poll(.client, .hangUp)])
    bench.turn([.sent(4, to: .client)], expecting: [.recycle(1)])
    bench.turn(
      [.received("more", from: .server, buffer: 2)],
      expecting: [.send(.client, "more"), .receive(.server, expectsData: false)])
  }
}
