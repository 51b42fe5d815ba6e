// Goal: the control thread's commands do what they say, in order. Method: a scripted kernel; commands go through the
// real mailbox.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct CommandTests {
  private static let target = "127.0.0.1:8080"

  @Test("Stop accepting: listeners close, connections live on")
  func stopAccepting() {
    let bench = WorkerBench()
    bench.relay()
    bench.command(.stopAccepting, expecting: [.stopQueueing(.listener)])
    bench.advance(milliseconds(250), expecting: [.cancel(.accept(.listener))])
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: [.acceptNow(.listener, fails: EAGAIN), .close(.listener)])
    bench.turn(
      [.received("still", from: .client, buffer: 0)],
      expecting: [.send(.server, "still"), .receive(.client, expectsData: false)])
  }

  @Test("Close connections: all of them, with the given reason")
  func closeConnections() {
    let bench = WorkerBench()
    bench.relay()
    bench.relay(Descriptor(rawValue: 1_000_110), Descriptor(rawValue: 1_000_120))
    let cut: (Descriptor, Descriptor) -> [Step] = { client, server in
      [.resetOnClose(client), .resetOnClose(server), .cancel(.receive(client)), .cancel(.receive(server))]
    }
    bench.command(
      .closeConnections(.drainDeadline),
      expecting: cut(.client, .server) + cut(Descriptor(rawValue: 1_000_110), Descriptor(rawValue: 1_000_120)))
    // A second time there is nothing left to close.
    bench.command(.closeConnections(.shutdown), expecting: [])
    bench.turn([.failed(.receive(.client), ECANCELED)], expecting: [])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: [.close(.client), .close(.server)])
    #expect(bench.closed(.drainDeadline) == 1)
  }

  @Test("Connections that a listener still brings end with the others, and nobody waits for more of them")
  func closeArrivals() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(
      .stopAccepting, .closeConnections(.shutdown), .stop,
      expecting: [.stopQueueing(.listener), .notify(.control), .cancel(.accept(.listener))])
    let cut: (Descriptor) -> [Step] = { client in
      [
        .hearAgain(client), .peerAddress(client, is: WorkerBench.clientAddress), .resetOnClose(client), .close(client),
        .notify(.control),
      ]
    }
    bench.turn([.accepted(.client, on: .listener)], expecting: cut(.client))
    let queued = Descriptor(rawValue: 1_000_110)
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: [.acceptNow(.listener, gives: queued)] + cut(queued) + [
        .acceptNow(.listener, fails: EAGAIN), .close(.listener),
      ])
    #expect(bench.closed(.shutdown) == 2)
    #expect(bench.listenersAreQuiet)
    bench.expectNothingHeld()
  }

  @Test("Stop ends the loop after the last connection and the last listener")
  func stop() {
    let bench = WorkerBench()
    bench.relay()
    bench.command(.stopAccepting, .stop, expecting: [.stopQueueing(.listener)])
    #expect(bench.isStopping)
    #expect(!bench.listenersAreQuiet)
    bench.advance(milliseconds(250), expecting: [.cancel(.accept(.listener))])
    #expect(!bench.listenersAreQuiet)
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: [.acceptNow(.listener, fails: EAGAIN), .close(.listener)])
    #expect(bench.listenersAreQuiet)
    #expect(bench.worker.connections.usedCount == 1)
    bench.turn(
      [.failed(.receive(.client), ECONNRESET)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(.server))])
    bench.turn([.failed(.receive(.server), ECANCELED)], expecting: WorkerBench.ending() + [.notify(.control)])
    #expect(bench.worker.connections.usedCount == 0)
  }

  @Test("A new plan holds for the next connection")
  func updateListener() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: Self.target))
    bench.command(.updateListener(WorkerBench.listenerID, WorkerBench.plan(to: "10.2.0.1:90")), expecting: [])
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.2.0.1:90"))
  }

  @Test("The list of connections tells phases, paths and bytes")
  func listing() throws {
    let bench = WorkerBench()
    bench.relay()
    bench.turn(
      [.accepted(Descriptor(rawValue: 1_000_110), on: .listener)],
      expecting: WorkerBench.connecting(Descriptor(rawValue: 1_000_110), .secondServer, to: Self.target))
    bench.advance(
      seconds(3), [.received("abc", from: .client, buffer: 0)],
      expecting: [.send(.server, "abc"), .receive(.client, expectsData: false)])
    bench.advance(seconds(2), expecting: [])
    let listing = ConnectionListing(workers: 1, doneDescriptor: .control)
    bench.command(.listConnections(listing), expecting: [])
    let rows = listing.result()
    try #require(rows.count == 2)
    #expect(rows[0].phase == .relaying)
    #expect(rows[0].receivedBytes == 3)
    #expect(rows[0].sentBytes == 0)
    #expect(rows[0].age == seconds(5))
    #expect(rows[0].idle == seconds(2))
    #expect(rows[0].paths == (.buffered, .buffered))
    #expect(rows[0].downstream?.description == WorkerBench.clientAddress)
    #expect(rows[0].upstream.description == Self.target)
    #expect(rows[1].phase == .connecting)
  }
}
