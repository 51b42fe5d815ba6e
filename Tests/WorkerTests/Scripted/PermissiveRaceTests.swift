// Goal: on a permissive listener a mesh client's hello and whatever else comes with it, in one turn or cut in two, end in one
// of two ways: a handshake, or bytes that pass through whole. Method: a scripted kernel and a worker with an identity.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct PermissiveRaceTests {
  private let bench: WorkerBench
  private let hello: [UInt8]

  /// A connection whose app is there, and nobody has spoken.
  init() throws {
    let identities = try ScriptedIdentities()
    hello = ScriptedPeer(identities).answer()
    bench = WorkerBench.withIdentity(identities, tls: .permissive)
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .receive(.client, expectsData: true),
        .openSocket(AF_INET, gives: .server), .configureStream(.server),
        .connect(.server, to: WorkerBench.target),
      ])
    bench.turn([.connected(.server)], expecting: [.receive(.server, expectsData: false)])
  }

  @Test(
    "A listener that has become strict meanwhile lets no plain text through, whoever speaks first",
    arguments: [true, false])
  func becomesStrict(clientSpeaks: Bool) {
    var plan = WorkerBench.plan(to: WorkerBench.target)
    plan.tls = .strict
    bench.command(.updateListener(WorkerBench.listenerID, plan), expecting: [])
    let silent = clientSpeaks ? Descriptor.server : .client
    let resets: [Step] = [.resetOnClose(.client), .resetOnClose(.server)]
    bench.turn(
      [.received("plain text", from: clientSpeaks ? .client : .server, buffer: 0)],
      expecting: (clientSpeaks ? [.recycle(0)] + resets : resets + [.recycle(0)]) + [.cancel(.receive(silent))])
    bench.turn([.failed(.receive(silent), ECANCELED)], expecting: WorkerBench.ending())
    #expect(bench.closed(.tlsHandshakeFailed) == 1)
    bench.expectNothingHeld()
  }

  // The hello waits in the queue of handshakes, which counts as a receive: there is none to cancel.

  @Test("The app ends behind the hello: the client hears of a cut, and no byte of it has reached the app")
  func appEndsBehindHello() {
    bench.turn(
      [.received(hello, from: .client, buffer: 0), .ended(.server)],
      expecting: [
        .recycle(0), .resetOnClose(.client), .resetOnClose(.client), .resetOnClose(.server),
        .cancel(nil), .submit,
      ] + WorkerBench.ending())
    #expect(bench.closedMutual(.upstreamClosed) == 1)
    #expect(bench.handshakes(.aborted) == 1)
    bench.expectNothingHeld()
  }

  @Test("The app resets behind the hello")
  func appResetsBehindHello() {
    bench.turn(
      [.received(hello, from: .client, buffer: 0), .failed(.receive(.server), ECONNRESET)],
      expecting: [
        .recycle(0), .resetOnClose(.client), .resetOnClose(.server), .cancel(nil), .submit,
      ] + WorkerBench.ending())
    #expect(bench.closedMutual(.upstreamReset) == 1)
    #expect(bench.handshakes(.aborted) == 1)
    bench.expectNothingHeld()
  }

  @Test("The app speaks before the hello, in the same turn: both pass through")
  func appSpeaksBeforeHello() {
    bench.turn(
      [.received("220 ready", from: .server, buffer: 1), .received(hello, from: .client, buffer: 0)],
      expecting: [
        .sendAnything(.client), .receive(.server, expectsData: false), .sendAnything(.server),
        .receive(.client, expectsData: false),
      ])
    #expect(bench.handshakes(.aborted) == 0 && bench.worker.handshakes.inProgress == 0)
  }

  @Test("A hello in two pieces is one, and nothing of it is passed on")
  func helloInTwoPieces() {
    bench.turn(
      [.received(Array(hello.prefix(40)), from: .client, buffer: 0)],
      expecting: [.recycle(0), .receive(.client, expectsData: false)])
    bench.turn(
      [.received(Array(hello.dropFirst(40)), from: .client, buffer: 1)],
      expecting: [.recycle(1), .submit, .sendAnything(.client), .receive(.client, expectsData: false)])
    #expect(bench.worker.handshakes.inProgress == 1)
  }

  @Test("Half a hello and the end: the half passes through, and the end behind it")
  func halfAHelloAndTheEnd() {
    bench.turn(
      [.received(Array(hello.prefix(40)), from: .client, buffer: 0)],
      expecting: [.recycle(0), .receive(.client, expectsData: false)])
    bench.turn([.ended(.client)], expecting: [.sendAnything(.server, .immediateBeforeMore)])
    #expect(bench.script.lastSent[.server] == Array(hello.prefix(40)))
    bench.turn([.sent(40, to: .server)], expecting: [.shutdown(.server)])
    #expect(bench.worker.handshakes.inProgress == 0)
  }
}
