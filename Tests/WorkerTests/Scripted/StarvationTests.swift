// Goal: a connection that finds no receive buffer waits in line and is served when one comes back, without spinning.
// Method: a scripted kernel with two buffers.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct StarvationTests {
  private static let otherClient = Descriptor(rawValue: 1_000_110)
  private static let otherServer = Descriptor(rawValue: 1_000_120)

  @Test("A starved receive is re-armed when a buffer comes back, and not before")
  func rearmed() {
    let bench = WorkerBench(bufferCount: 2)
    bench.relay()
    bench.relay(Self.otherClient, Self.otherServer)
    // One connection holds both buffers.
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [])
    bench.turn([.failed(.receive(Self.otherClient), ENOBUFS)], expecting: [])
    #expect(bench.count(.receivesStarved) == 1)
    // Turns without a buffer don't touch the starved connection.
    bench.turn([], expecting: [])
    bench.turn(
      [.sent(3, to: .server)],
      expecting: [
        .recycle(0), .send(.server, "two"), .receive(.client, expectsData: false),
        .receive(Self.otherClient, expectsData: true),
      ])
    #expect(bench.worker.starved.isEmpty)
  }

  @Test("Half-pipes are fed in the order in which they starved, as many as there are buffers")
  func order() {
    let bench = WorkerBench(bufferCount: 2)
    bench.relay()
    bench.relay(Self.otherClient, Self.otherServer)
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [])
    bench.turn(
      [.failed(.receive(Self.otherServer), ENOBUFS), .failed(.receive(Self.otherClient), ENOBUFS)], expecting: [])
    bench.turn(
      [.sent(3, to: .server)],
      expecting: [
        .recycle(0), .send(.server, "two"), .receive(.client, expectsData: false),
        .receive(Self.otherServer, expectsData: true),
      ])
    bench.turn([.sent(3, to: .server)], expecting: [.recycle(1), .receive(Self.otherClient, expectsData: true)])
  }

  @Test("A starved connection that is closed meanwhile leaves the line, and its slot is freed only then")
  func closedWhileStarved() {
    let bench = WorkerBench(bufferCount: 2)
    bench.relay()
    bench.relay(Self.otherClient, Self.otherServer)
    bench.turn(
      [.received("one", from: .client, buffer: 0)],
      expecting: [.send(.server, "one"), .receive(.client, expectsData: false)])
    bench.turn([.received("two", from: .client, buffer: 1)], expecting: [])
    bench.turn([.failed(.receive(Self.otherClient), ENOBUFS)], expecting: [])
    bench.turn(
      [.failed(.receive(Self.otherServer), ECONNRESET)],
      expecting: [
        .resetOnClose(Self.otherClient), .resetOnClose(Self.otherServer),
        // The receive exists in the worker's books only.
        .cancel(nil),
      ])
    #expect(bench.worker.connections.usedCount == 2)
    bench.turn(
      [.sent(3, to: .server)],
      expecting: [
        .recycle(0), .send(.server, "two"), .receive(.client, expectsData: false),
        .close(Self.otherClient), .close(Self.otherServer),
      ])
    #expect(bench.worker.connections.usedCount == 1)
  }
}
