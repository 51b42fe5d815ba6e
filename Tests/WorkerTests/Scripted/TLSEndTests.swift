// Goal: the end of a TLS stream is what the peer said it is, in however many pieces it says so, and neither what TLS itself
// has to say nor what finds no room at once disturbs a stream. Method: a scripted kernel, a worker with an identity, and peers
// that are real TLS sessions in memory, on either side.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct TLSEndTests {
  private let identities: ScriptedIdentities

  init() throws { identities = try ScriptedIdentities() }

  @Test(
    "close_notify byte by byte is the end: nothing is read behind it, and the other side gets its FIN",
    arguments: Side.both)
  func inPieces(from side: Side) throws {
    let relay = try TLSRelay(identities, encrypted: side)
    try relay.carriesData()
    let end = relay.peer.end()
    relay.keepsAllButLast(of: end)
    relay.bench.turn(
      [.received([try #require(end.last)], from: relay.encrypted, buffer: 0)],
      expecting: [.recycle(0), .shutdown(relay.clear)])
    // The peer's FIN waits in the socket; nobody needs it.
    relay.bench.turn([.ended(relay.clear)], expecting: [.sendAnything(relay.encrypted, .immediateBeforeMore)])
    let alert = relay.bench.script.lastSent[relay.encrypted]?.count ?? 0
    relay.bench.turn(
      [.sent(alert, to: relay.encrypted)], expecting: [.discardInput(relay.encrypted)] + WorkerBench.ending())
    #expect(relay.bench.closedMutual(side == .downstream ? .downstreamClosed : .upstreamClosed) == 1)
    relay.bench.expectNothingHeld()
  }

  @Test("Last bytes, close_notify and FIN share a segment, on either side", arguments: Side.both)
  func lastBytes(encrypted side: Side) throws {
    let relay = try TLSRelay(identities, encrypted: side)
    // The ticket, behind which its records go on.
    if side == .downstream { _ = relay.peer.hear(try #require(relay.bench.script.lastSent[.client])) }
    try relay.carriesData()
    let saidAtLast = relay.peer.say("last") + relay.peer.end()
    relay.bench.turn(
      [.received(saidAtLast, from: relay.encrypted, buffer: 0)],
      expecting: [.recycle(0), .sendAnything(relay.clear, .immediateBeforeMore)])
    relay.bench.turn([.sent(4, to: relay.clear)], expecting: [.shutdown(relay.clear)])
    relay.bench.turn(
      [.received("bye", from: relay.clear, buffer: 0, last: true)],
      expecting: [.recycle(0), .sendAnything(relay.encrypted, .immediateBeforeMore)])
    let sealed = try #require(relay.bench.script.lastSent[relay.encrypted])
    #expect(relay.peer.hear(sealed) == "bye")
    #expect(relay.peer.hasHeardEnd)
    relay.bench.turn(
      [.sent(sealed.count, to: relay.encrypted)],
      expecting: [.shutdown(relay.encrypted), .discardInput(relay.encrypted)] + WorkerBench.ending())
    relay.bench.expectNothingHeld()
  }

  @Test("Last bytes don't wait behind handshakes for their end, nor handshakes for others' ends for more than a turn")
  func lastBytesBeforeHandshakes() throws {
    let relay = try TLSRelay.inbound(identities)
    relay.bench.arrive(.client(1))
    relay.bench.turn(
      [
        .received(ScriptedPeer(identities).answer(), from: .client(1), buffer: 0),
        .received("bye", from: .server, buffer: 1, last: true),
      ],
      expecting: [.recycle(0), .recycle(1), .sendAnything(.client, .immediateBeforeMore)])
    relay.bench.worker.hasHeldBack = true
    relay.bench.turn(
      [.sent(try #require(relay.bench.script.lastSent[.client]).count, to: .client)],
      expecting: [
        .shutdown(.client), .submit, .sendAnything(.client(1)), .receive(.client(1), expectsData: false),
      ])
  }

  @Test("A FIN behind a record that is no close_notify is a cut, however early it is known", arguments: Side.both)
  func lastBytesWithoutCloseNotify(encrypted side: Side) throws {
    let relay = try TLSRelay(identities, encrypted: side)
    try relay.carriesData()
    relay.bench.turn(
      [.received(relay.peer.say("last"), from: relay.encrypted, buffer: 0, last: true)],
      expecting: [.recycle(0), .sendAnything(relay.clear), .receive(relay.encrypted, expectsData: false)])
    relay.bench.turn([.sent(4, to: relay.clear)], expecting: [])
    relay.bench.turn(
      [.ended(relay.encrypted)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server), .cancel(.receive(relay.clear))])
    relay.bench.turn([.failed(.receive(relay.clear), ECANCELED)], expecting: WorkerBench.ending())
    #expect(relay.bench.closedMutual(.tlsTruncated) == 1)
  }

  @Test("What the client has said already goes into one segment with the end of our handshake")
  func firstBytesWithHandshake() throws {
    let relay = try TLSRelay.outbound(identities, clientHasSpoken: true)
    relay.bench.turn(
      [.received("x", from: .client, buffer: 0)],
      expecting: [.recycle(0), .sendAnything(.server), .receive(.client, expectsData: false)])
    let sealed = try #require(relay.bench.script.lastSent[.server])
    #expect(relay.peer.hear(sealed) == "x")
  }

  @Test("The end of our handshake does not wait for a receive buffer")
  func handshakeWithoutBuffers() throws {
    let relay = try TLSRelay.outbound(identities, clientHasSpoken: true)
    relay.bench.turn(
      [.failed(.receive(.client), ENOBUFS)], expecting: [.sendHeldBack(.server), .receive(.client, expectsData: true)])
    // Nothing of ours is held back on the clear side.
    relay.bench.turn([.failed(.receive(.server), ENOBUFS)], expecting: [.receive(.server, expectsData: true)])
  }

  @Test("A FIN before the last byte of close_notify is a cut: the other side is reset", arguments: Side.both)
  func cutInTheMiddle(from side: Side) throws {
    let relay = try TLSRelay(identities, encrypted: side)
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
    let bench = try TLSRelay.inbound(identities).bench
    let full = String(repeating: "x", count: 4_096)
    for last in [false, false, true] {
      bench.turn(
        [.received(full, from: .server, buffer: 0, socketNonEmpty: true)],
        expecting: [.recycle(0), .sendAnything(.client)] + (last ? [] : [.receive(.server, expectsData: true)]))
      bench.turn(
        [.sent(try sentToClient(bench), to: .client)],
        expecting: last ? [.receive(.server, into: WorkerMemory.bulkReceiveSize)] : [])
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
      expecting: [.receive(.server, into: WorkerMemory.bulkReceiveSize)])
  }

  @Test("A peer that goes on asking for new keys behind our close_notify, which nothing may answer, is read to its end")
  func keyUpdatesBehindOurEnd() throws {
    let relay = try TLSRelay.outbound(identities, changesKeys: true)
    relay.bench.turn([.ended(.client)], expecting: [.sendAnything(.server, .immediateBeforeMore)])
    relay.bench.turn(
      [.sent(try #require(relay.bench.script.lastSent[.server]).count, to: .server)], expecting: [.shutdown(.server)])
    // Far more than there is room for answers.
    for _ in 0..<32 {
      relay.bench.turn(
        [.received(relay.peer.askForKeys(andSay: "x"), from: .server, buffer: 0)],
        expecting: [.recycle(0), .sendAnything(.client), .receive(.server, expectsData: false)])
      relay.bench.turn([.sent(1, to: .client)], expecting: [])
    }
    relay.bench.turn(
      [.received(relay.peer.end(), from: .server, buffer: 0)],
      expecting: [.recycle(0), .discardInput(.server)] + WorkerBench.ending())
    relay.bench.expectNothingHeld()
  }

  @Test("What of a piece finds no room when it is opened follows when that has been sent", arguments: Side.both)
  func restOfPiece(from side: Side) throws {
    let relay = try TLSRelay(identities, encrypted: side, bufferSize: 16_384)
    let first = relay.peer.say(String(repeating: "a", count: 16_000))
    let second = relay.peer.say(String(repeating: "b", count: 16_000))
    relay.keeps(Array(first.dropLast()))
    // The end of one record and another one whole: twice as much as a piece holds.
    relay.bench.turn(
      [.received([try #require(first.last)] + second, from: relay.encrypted, buffer: 0)],
      expecting: [.sendAnything(relay.clear)])
    #expect(try sentInTheClear(relay) == ["a": 16_000])
    relay.bench.turn(
      [.sent(16_000, to: relay.clear)],
      expecting: [.recycle(0), .sendAnything(relay.clear), .receive(relay.encrypted, expectsData: false)])
    #expect(try sentInTheClear(relay) == ["b": 16_000])
  }

  /// How many of each byte the last send had.
  private func sentInTheClear(_ relay: TLSRelay) throws -> [Character: Int] {
    let bytes = try #require(relay.bench.script.lastSent[relay.clear])
    return bytes.reduce(into: [:]) { $0[Character(UnicodeScalar($1)), default: 0] += 1 }
  }

  private func sentToClient(_ bench: WorkerBench) throws -> Int { try #require(bench.script.lastSent[.client]).count }
}

extension Side {
  fileprivate static let both = [Side.downstream, .upstream]
}
