// Goal: the end of a TLS stream is what the peer said it is, in however many pieces it says so, and what TLS itself has to say
// disturbs no stream. Method: a scripted kernel, a worker with an identity, and peers that are real TLS sessions in memory, on
// either side.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct TLSEndTests {
  private let identities: ScriptedIdentities

  init() throws { identities = try ScriptedIdentities() }

  /// A connection that relays, its encrypted side first.
  private struct Relay {
    let bench: WorkerBench
    let peer: ScriptedPeer
    let encrypted: Descriptor
    let clear: Descriptor

    /// What the worker does to a piece of a record.
    func keeps(_ piece: UInt8) {
      bench.turn(
        [.received([piece], from: encrypted, buffer: 0)],
        expecting: [.recycle(0), .receive(encrypted, expectsData: false)])
    }

    /// The same to all but the last byte of these.
    func keepsAllButLast(of bytes: [UInt8]) { for byte in bytes.dropLast() { keeps(byte) } }

    /// Data in pieces of one byte.
    func carriesData() throws {
      let record = peer.say("x")
      keepsAllButLast(of: record)
      bench.turn(
        [.received([try #require(record.last)], from: encrypted, buffer: 0)],
        expecting: [.recycle(0), .sendAnything(clear), .receive(encrypted, expectsData: false)])
      bench.turn([.sent(1, to: clear)], expecting: [])
    }
  }

  @Test(
    "close_notify byte by byte is the end: nothing is read behind it, and the other side gets its FIN",
    arguments: Side.both)
  func inPieces(from side: Side) throws {
    let relay = try relay(side)
    try relay.carriesData()
    let end = relay.peer.end()
    relay.keepsAllButLast(of: end)
    relay.bench.turn(
      [.received([try #require(end.last)], from: relay.encrypted, buffer: 0)],
      expecting: [.recycle(0), .shutdown(relay.clear)])
    // The peer's FIN waits in the socket; nobody needs it.
    relay.bench.turn([.ended(relay.clear)], expecting: [.sendAnything(relay.encrypted)])
    let alert = relay.bench.script.lastSent[relay.encrypted]?.count ?? 0
    relay.bench.turn([.sent(alert, to: relay.encrypted)], expecting: WorkerBench.ending())
    #expect(relay.bench.closedMutual(side == .downstream ? .downstreamClosed : .upstreamClosed) == 1)
    relay.bench.expectNothingHeld()
  }

  @Test("A FIN before the last byte of close_notify is a cut: the other side is reset", arguments: Side.both)
  func cutInTheMiddle(from side: Side) throws {
    let relay = try relay(side)
    try relay.carriesData()
    relay.keepsAllButLast(of: relay.peer.end())
    relay.bench.turn(
      [.ended(relay.encrypted)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(relay.clear))])
    relay.bench.turn([.failed(.receive(relay.clear), ECANCELED)], expecting: WorkerBench.ending())
    #expect(relay.bench.closedMutual(.tlsTruncated) == 1)
    relay.bench.expectNothingHeld()
  }

  @Test("A record of TLS's own, in the middle of bulk that waits for more, leaves the waiting as it is")
  func ownRecordInBulk() throws {
    let bench = try inbound().bench
    let full = String(repeating: "x", count: 4_096)
    for last in [false, false, true] {
      bench.turn(
        [.received(full, from: .server, buffer: 0, socketNonEmpty: true)],
        expecting: [.recycle(0), .sendAnything(.client)] + (last ? [] : [.receive(.server, expectsData: true)]))
      bench.turn(
        [.sent(try sentToClient(bench), to: .client)],
        expecting: last ? [.receive(.server, into: Worker<ScriptedKernel>.bulkReceiveSize)] : [])
    }
    bench.turn([.received(full, from: .server)], expecting: [.sendAnything(.client)])
    bench.turn([.sent(try sentToClient(bench), to: .client)], expecting: [.poll(.server, .readable)])

    // As `sendProtocolBytes` does it.
    let chunk = bench.worker.chunks.take()
    let answer = Piece(base: chunk, count: 2, home: .chunk)
    bench.direct(expecting: [.sendAnything(.client)]) {
      bench.worker.send(answer, 0, bench.worker.connections[0], .toDownstream)
    }
    bench.turn([.sent(2, to: .client)], expecting: [])
    bench.turn(
      [.ready(.server, .readable, events: POLLIN)],
      expecting: [.receive(.server, into: Worker<ScriptedKernel>.bulkReceiveSize)])
  }

  private func sentToClient(_ bench: WorkerBench) throws -> Int { try #require(bench.script.lastSent[.client]).count }

  // MARK: Beginnings

  private func relay(_ side: Side) throws -> Relay { side == .downstream ? try inbound() : try outbound() }

  private func inbound() throws -> Relay {
    let bench = WorkerBench.withIdentity(identities, tls: .strict)
    let client = ScriptedPeer(identities)
    bench.arrive(.client)
    bench.turn(
      [.received(client.answer(), from: .client, buffer: 0)],
      expecting: [.recycle(0), .submit, .sendAnything(.client), .receive(.client, expectsData: false)])
    let flight = bench.script.lastSent[.client] ?? []
    bench.turn([.sent(flight.count, to: .client)], expecting: [])
    bench.turn(
      [.received(client.answer(to: flight), from: .client, buffer: 0)],
      expecting: [
        .recycle(0), .submit, .sendAnything(.client), .openSocket(AF_INET, gives: .server), .configureStream(.server),
        .connect(.server, to: WorkerBench.target),
      ])
    try #require(client.isComplete)
    let ticket = bench.script.lastSent[.client] ?? []
    bench.turn([.sent(ticket.count, to: .client)], expecting: [])
    // Whatever the client may have said meanwhile is there at once.
    bench.turn(
      [.connected(.server)], expecting: [.receive(.client, expectsData: true), .receive(.server, expectsData: false)])
    return Relay(bench: bench, peer: client, encrypted: .client, clear: .server)
  }

  private func outbound() throws -> Relay {
    let bench = WorkerBench.outbound(identities)
    let server = ScriptedPeer(identities, .server)
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: WorkerBench.target))
    bench.turn(
      [.connected(.server)], expecting: [.submit, .sendAnything(.server), .receive(.server, expectsData: false)])
    let hello = bench.script.lastSent[.server] ?? []
    bench.turn([.sent(hello.count, to: .server)], expecting: [])
    bench.turn(
      [.received(server.answer(to: hello), from: .server, buffer: 0)],
      expecting: [
        .recycle(0), .submit, .sendAnything(.server), .receive(.client, expectsData: true),
        .receive(.server, expectsData: false),
      ])
    let finished = bench.script.lastSent[.server] ?? []
    bench.turn([.sent(finished.count, to: .server)], expecting: [])
    let ticket = server.answer(to: finished)
    try #require(server.isComplete)
    bench.turn(
      [.received(ticket, from: .server, buffer: 0)],
      expecting: [.recycle(0), .receive(.server, expectsData: false)])
    return Relay(bench: bench, peer: server, encrypted: .server, clear: .client)
  }
}

extension Side {
  fileprivate static let both = [Side.downstream, .upstream]
}
