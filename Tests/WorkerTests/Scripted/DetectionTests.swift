// Goal: on a permissive listener whoever speaks first is heard, and what is not for the mesh passes through unread and
// whole. Method: a scripted kernel and a worker without an identity, so that nothing is for the mesh.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct DetectionTests {
  private static let target = "127.0.0.1:8080"

  /// A connection whose client is being listened to while the upstream is connected.
  private static func connecting() -> WorkerBench {
    let bench = WorkerBench()
    bench.listen(
      ListenerPlan(
        Configuration.Listener(
          name: "inbound", direction: .inbound, bind: WorkerBench.bind, target: .originalDestination, tls: .permissive),
        destination: .addresses([TargetAddress(SocketAddress(target)!)])))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .receive(.client, expectsData: true),
        .openSocket(AF_INET, gives: .server), .configureStream(.server), .connect(.server, to: target),
      ])
    return bench
  }

  @Test("The client speaks while the upstream is being connected: its bytes wait in private memory")
  func clientBeforeConnect() {
    let bench = Self.connecting()
    bench.turn([.received("hello", from: .client, buffer: 0)], expecting: [.recycle(0)])
    bench.turn(
      [.connected(.server)],
      expecting: [
        .send(.server, "hello"), .receive(.client, expectsData: true), .receive(.server, expectsData: false),
      ])
    bench.turn([.sent(5, to: .server)], expecting: [])
    #expect(bench.worker.chunks.usedCount == 0)
    #expect(bench.count(.receivedBytes) == 5)
  }

  @Test("The server speaks first")
  func serverFirst() {
    let bench = Self.connecting()
    bench.turn([.connected(.server)], expecting: [.receive(.server, expectsData: false)])
    bench.turn(
      [.received("220 ready", from: .server, buffer: 1)],
      expecting: [.send(.client, "220 ready"), .receive(.server, expectsData: false)])
    bench.turn([.sent(9, to: .client)], expecting: [.recycle(1)])
    bench.turn(
      [.received("HELO", from: .client, buffer: 2)],
      expecting: [.send(.server, "HELO"), .receive(.client, expectsData: false)])
  }

  @Test("A client that ends before it has said anything: the end is passed on when the upstream is there")
  func clientEndsFirst() {
    let bench = Self.connecting()
    bench.turn([.ended(.client)], expecting: [])
    bench.turn(
      [.connected(.server)],
      expecting: [.shutdown(.server), .receive(.server, expectsData: false)])
    bench.turn([.ended(.server)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamClosed) == 1)
    bench.expectNothingHeld()
  }

  @Test("A client that speaks and ends before the upstream is there loses neither its bytes nor its end")
  func clientSpeaksAndEnds() {
    let bench = Self.connecting()
    bench.turn([.received("bye", from: .client, buffer: 0)], expecting: [.recycle(0)])
    bench.turn(
      [.connected(.server)],
      expecting: [
        .send(.server, "bye"), .receive(.client, expectsData: true), .receive(.server, expectsData: false),
      ])
    bench.turn([.ended(.client)], expecting: [])
    bench.turn([.sent(3, to: .server)], expecting: [.shutdown(.server)])
  }

  @Test("A client that resets while the upstream is being connected")
  func clientResets() {
    let bench = Self.connecting()
    bench.turn(
      [.failed(.receive(.client), ECONNRESET)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(.connect(.server))])
    bench.turn([.failed(.connect(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.downstreamReset) == 1)
    bench.expectNothingHeld()
  }

  @Test("An upstream that refuses while the client's bytes wait")
  func refused() {
    let bench = Self.connecting()
    bench.turn([.received("hello", from: .client, buffer: 0)], expecting: [.recycle(0)])
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [.close(.server), .resetOnClose(.client), .close(.client)])
    #expect(bench.closed(.connectRefused) == 1)
    bench.expectNothingHeld()
  }

  @Test("Silence on both sides lasts as long as the idle timeout")
  func silence() {
    let bench = Self.connecting()
    bench.turn([.connected(.server)], expecting: [.receive(.server, expectsData: false)])
    bench.advance(seconds(3_599), expecting: [])
    bench.advance(seconds(2), expecting: [.cancel(.receive(.client)), .cancel(.receive(.server))])
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.idleTimeout) == 1)
  }
}
