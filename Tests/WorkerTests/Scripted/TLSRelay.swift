// A TLS connection that relays, on a scripted kernel: what the tests of its data and of its end begin with.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

/// The connection, and the peer that is on its encrypted side.
struct TLSRelay {
  let bench: WorkerBench
  let peer: ScriptedPeer
  let encrypted: Descriptor
  let clear: Descriptor

  /// What the worker does to a piece of a record.
  func keeps(_ piece: [UInt8]) {
    bench.turn(
      [.received(piece, from: encrypted, buffer: 0)],
      expecting: [.recycle(0), .receive(encrypted, expectsData: false)])
  }

  /// The same to all but the last byte of these, in pieces of one byte.
  func keepsAllButLast(of bytes: [UInt8]) { for byte in bytes.dropLast() { keeps([byte]) } }

  /// Data in pieces of one byte.
  func carriesData() throws {
    let record = peer.say("x")
    keepsAllButLast(of: record)
    bench.turn(
      [.received([try #require(record.last)], from: encrypted, buffer: 0)],
      expecting: [.recycle(0), .sendAnything(clear), .receive(encrypted, expectsData: false)])
    bench.turn([.sent(1, to: clear)], expecting: [])
  }

  // MARK: Beginnings

  /// - Parameter bufferSize: of what the kernel receives into.
  init(_ identities: ScriptedIdentities, encrypted side: Side, bufferSize: Int = 4_096) throws {
    self =
      side == .downstream
      ? try .inbound(identities, bufferSize: bufferSize) : try .outbound(identities, bufferSize: bufferSize)
  }

  private init(bench: WorkerBench, peer: ScriptedPeer, encrypted: Descriptor, clear: Descriptor) {
    self.bench = bench
    self.peer = peer
    self.encrypted = encrypted
    self.clear = clear
  }

  static func inbound(_ identities: ScriptedIdentities, bufferSize: Int = 4_096) throws -> TLSRelay {
    let bench = WorkerBench.withIdentity(identities, tls: .strict, bufferSize: bufferSize)
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
    return TLSRelay(bench: bench, peer: client, encrypted: .client, clear: .server)
  }

  /// - Parameters:
  ///   - clientHasSpoken: whether the client has said something by the end of the handshake.
  ///   - changesKeys: whether the server asks for new keys together with its ticket: then libssl keeps the records.
  static func outbound(
    _ identities: ScriptedIdentities, bufferSize: Int = 4_096, clientHasSpoken: Bool = false, changesKeys: Bool = false
  ) throws -> TLSRelay {
    let bench = WorkerBench.outbound(identities, bufferSize: bufferSize)
    let server = ScriptedPeer(identities, .server)
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: WorkerBench.target))
    bench.turn(
      [.connected(.server)], expecting: [.submit, .sendAnything(.server), .receive(.server, expectsData: false)])
    let hello = bench.script.lastSent[.server] ?? []
    bench.turn([.sent(hello.count, to: .server)], expecting: [])
    bench.turn(
      [.received(server.answer(to: hello), from: .server, buffer: 0)],
      expecting: [
        .recycle(0), .submit, .isReadable(.client, is: clientHasSpoken),
        .sendAnything(.server, clientHasSpoken ? .immediateBeforeMore : .immediate),
        .receive(.client, expectsData: true), .receive(.server, expectsData: false),
      ])
    let finished = bench.script.lastSent[.server] ?? []
    bench.turn([.sent(finished.count, to: .server)], expecting: [])
    let ticket = server.answer(to: finished)
    try #require(server.isComplete)
    let relay = TLSRelay(bench: bench, peer: server, encrypted: .server, clear: .client)
    if changesKeys {
      bench.turn(
        [.received(ticket + server.askForKeys(andSay: "x"), from: .server, buffer: 0)],
        expecting: [.recycle(0), .sendAnything(.client), .receive(.server, expectsData: false)])
      bench.turn([.sent(1, to: .client)], expecting: [])
    } else {
      relay.keeps(ticket)
    }
    return relay
  }
}
