// Goal: an upstream connection is tried over all of the target's addresses within its time, and each way to fail has
// its own reason. Method: a scripted kernel with a virtual clock.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct ConnectTests {
  private static func relaying(_ server: Descriptor) -> [Step] {
    [.receive(.client, expectsData: true), .receive(server, expectsData: false)]
  }
  private static let givingUp: [Step] = [.close(.server), .resetOnClose(.client), .close(.client)]

  @Test("When one address refuses, the next is tried")
  func failover() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80", "[fd00::2]:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [
        .close(.server), .openSocket(AF_INET6, gives: .secondServer), .configureStream(.secondServer),
        .connect(.secondServer, to: "[fd00::2]:80"),
      ])
    bench.turn([.connected(.secondServer)], expecting: Self.relaying(.secondServer))
    #expect(bench.connectFailures(.refused) == 1)
  }

  @Test(
    "Each way to fail has its reason",
    arguments: [
      (ECONNREFUSED, CloseReason.connectRefused, WorkerMetrics.ConnectFailure.refused),
      (ENOENT, .connectRefused, .refused),
      (ETIMEDOUT, .connectTimeout, .timeout),
      (EHOSTUNREACH, .connectUnreachable, .unreachable),
      (ENETUNREACH, .connectUnreachable, .unreachable),
      (EADDRNOTAVAIL, .connectUnreachable, .unreachable),
      (EACCES, .connectFailed, .other),
    ])
  func reasons(error: Int32, reason: CloseReason, failure: WorkerMetrics.ConnectFailure) {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    bench.turn([.failed(.connect(.server), error)], expecting: Self.givingUp)
    #expect(bench.closed(reason) == 1)
    #expect(bench.connectFailures(failure) == 1)
    #expect(bench.accessLog.pop()?.errno == error)
    bench.expectNothingHeld()
  }

  @Test("An address that doesn't answer in time is cancelled, and the next one gets a time of its own")
  func timeout() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80", "10.1.0.2:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    bench.advance(seconds(4), expecting: [])
    bench.advance(seconds(1) + milliseconds(3), expecting: [.cancel(.connect(.server))])
    bench.turn(
      [.failed(.connect(.server), ECANCELED)],
      expecting: [
        .close(.server), .openSocket(AF_INET, gives: .secondServer), .configureStream(.secondServer),
        .connect(.secondServer, to: "10.1.0.2:80"),
      ])
    bench.advance(seconds(4), expecting: [])
    bench.advance(seconds(1) + milliseconds(3), expecting: [.cancel(.connect(.secondServer))])
    bench.turn(
      [.failed(.connect(.secondServer), ECANCELED)],
      expecting: [.close(.secondServer), .resetOnClose(.client), .close(.client)])
    #expect(bench.closed(.connectTimeout) == 1)
    #expect(bench.connectFailures(.timeout) == 2)
    bench.expectNothingHeld()
  }

  @Test("A connect that succeeds while it is being cancelled counts")
  func cancelledTooLate() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    bench.advance(seconds(5) + milliseconds(3), expecting: [.cancel(.connect(.server))])
    bench.turn([.connected(.server)], expecting: Self.relaying(.server))
    #expect(bench.connectFailures(.timeout) == 0)
  }

  @Test("A connect without a limit never times out")
  func noTimeout() {
    var settings = WorkerSettings(Configuration.Timeouts())
    settings.connectTimeout = .max
    let bench = WorkerBench(settings: settings)
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    bench.advance(seconds(1_000_000), expecting: [])
    #expect(bench.worker.timers.nextDeadline == .max)
  }

  @Test("A target without addresses, because its name was not resolved")
  func unresolved() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.addresses([])))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .resetOnClose(.client), .close(.client),
      ])
    #expect(bench.closed(.resolveFailed) == 1)
    #expect(bench.connectFailures(.resolve) == 1)
  }

  @Test("A new plan for the listener holds for new connections, a removed one harms none")
  func listenerRemovedWhileConnecting() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80", "10.1.0.2:80"))
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: "10.1.0.1:80"))
    bench.command(
      .closeListener(WorkerBench.listenerID),
      expecting: [.stopQueueing(.listener), .cancel(.accept(.listener))])
    bench.turn(
      [.failed(.accept(.listener), ECANCELED)],
      expecting: [.acceptNow(.listener, fails: EAGAIN), .close(.listener)])
    bench.turn([.connected(.server)], expecting: Self.relaying(.server))
  }

  // MARK: Descriptors

  @Test("No descriptor for the upstream socket", arguments: [EMFILE, ENFILE])
  func noDescriptor(_ error: Int32) {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80"))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .openSocket(AF_INET, fails: error),
        .cancel(.accept(.listener)), .resetOnClose(.client), .close(.client),
      ])
    #expect(bench.closed(.descriptorsExhausted) == 1)
    #expect(bench.connectFailures(.descriptors) == 1)
  }

  @Test("A client that is gone before its address could be asked for")
  func noPeerAddress() throws {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(to: "10.1.0.1:80"))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, fails: ENOTCONN), .openSocket(AF_INET, gives: .server), .configureStream(.server),
        .connect(.server, to: "10.1.0.1:80"),
      ])
    bench.turn([.failed(.connect(.server), ECONNREFUSED)], expecting: Self.givingUp)
    let record = try #require(bench.accessLog.pop())
    #expect(record.downstream == nil)
  }

  // MARK: Unix sockets

  @Test("A Unix socket with a full backlog is asked again every 10 ms until the time is up")
  func unixRetry() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.addresses([TargetAddress(unixPath: "/run/app.sock")!])))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .openSocket(AF_UNIX, gives: .server),
        .connect(.server, to: "unix:/run/app.sock"),
      ])
    bench.turn([.failed(.connect(.server), EAGAIN)], expecting: [])
    bench.advance(milliseconds(5), expecting: [])
    bench.advance(milliseconds(8), expecting: [.connect(.server, to: "unix:/run/app.sock")])
    bench.turn([.failed(.connect(.server), EAGAIN)], expecting: [])
    bench.advance(seconds(5), expecting: Self.givingUp)
    #expect(bench.closed(.connectTimeout) == 1)
    bench.expectNothingHeld()
  }

  @Test("A reset of a Unix upstream is no state of its own: it is not watched")
  func unixHalfClose() {
    let bench = WorkerBench()
    bench.relayToUnix()
    bench.turn([.ended(.server)], expecting: [.shutdown(.client)])
    bench.advance(seconds(1), expecting: [])
    bench.turn([.ended(.client)], expecting: WorkerBench.ending())
    #expect(bench.closed(.upstreamClosed) == 1)
  }
}

@Suite struct OriginalDestinationTests {
  private static func refused(_ local: String, _ original: Step) -> [Step] {
    [
      .peerAddress(.client, is: WorkerBench.clientAddress), .localAddress(.client, is: local), original,
      .resetOnClose(.client), .close(.client),
    ]
  }

  @Test("A redirected connection goes where it was going")
  func redirected() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .localAddress(.client, is: "10.0.0.1:15006"),
        .originalDestination(.client, is: "10.0.0.1:8080"), .openSocket(AF_INET, gives: .server),
        .configureStream(.server), .connect(.server, to: "10.0.0.1:8080"),
      ])
    // There is no second address to try.
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [.close(.server), .resetOnClose(.client), .close(.client)])
    #expect(bench.closed(.connectRefused) == 1)
  }

  @Test("IPv6, and IPv4 in IPv6 clothes")
  func families() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: "[fd00::9]:40000"), .localAddress(.client, is: "[fd00::1]:15006"),
        .originalDestination(.client, isIPv6: true, is: "[fd00::7]:443"), .openSocket(AF_INET6, gives: .server),
        .configureStream(.server), .connect(.server, to: "[fd00::7]:443"),
      ])
    let mapped = Descriptor(rawValue: 1_000_050)
    bench.turn(
      [.accepted(mapped, on: .listener)],
      expecting: [
        .peerAddress(mapped, is: "[::ffff:10.0.0.9]:40000"), .localAddress(mapped, is: "[::ffff:10.0.0.1]:15006"),
        .originalDestination(mapped, is: "10.0.0.7:443"), .openSocket(AF_INET, gives: .secondServer),
        .configureStream(.secondServer), .connect(.secondServer, to: "10.0.0.7:443"),
      ])
  }

  @Test(
    "A connection that would come back to this proxy is refused",
    arguments: [
      // Not redirected: the destination is the socket's own address.
      ("10.0.0.1:15006", "10.0.0.1:15006"),
      // A listener's port on loopback, on the pod's address, on the unspecified address.
      ("10.0.0.1:15006", "127.0.0.1:15006"),
      ("10.0.0.1:15001", "10.0.0.1:15006"),
      ("10.0.0.1:15006", "0.0.0.0:15006"),
    ])
  func loop(local: String, original: String) {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: Self.refused(local, .originalDestination(.client, is: original)))
    #expect(bench.closed(.connectLoop) == 1)
    #expect(bench.connectFailures(.loop) == 1)
    bench.expectNothingHeld()
  }

  @Test("A connection of its own that is led back to it is refused, and every further client is looked at")
  func ownConnection() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    let local = "10.0.0.1:15001"
    let original = "10.0.0.7:443"
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: [
        .peerAddress(.client, is: WorkerBench.clientAddress), .localAddress(.client, is: local),
        .originalDestination(.client, is: original), .openSocket(AF_INET, gives: .server),
        .configureStream(.server), .connect(.server, to: original),
      ])
    for client in [1_000_050, 1_000_051].map(Descriptor.init(rawValue:)) {
      bench.turn(
        [.accepted(client, on: .listener)],
        expecting: [
          // The server's own address, as a dual-stack listener shows it.
          .peerAddress(client, is: "[::ffff:10.0.0.1]:50000"), .localAddress(client, is: local),
          .originalDestination(client, is: original), .localAddress(.server, is: "10.0.0.1:50000"),
          .resetOnClose(client), .close(client),
        ])
    }
    #expect(bench.closed(.connectLoop) == 2)
    #expect(bench.connectFailures(.loop) == 2)
  }

  @Test("A client on the port of one of its own connections, headed elsewhere, is none of them")
  func sharedPort() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    for (client, server, target) in [
      (Descriptor.client, Descriptor.server, "10.0.0.7:443"),
      (Descriptor(rawValue: 1_000_050), .secondServer, "10.0.0.8:443"),
    ] {
      bench.turn(
        [.accepted(client, on: .listener)],
        expecting: [
          .peerAddress(client, is: "10.0.0.1:50000"), .localAddress(client, is: "10.0.0.1:15001"),
          .originalDestination(client, is: target), .openSocket(AF_INET, gives: server),
          .configureStream(server), .connect(server, to: target),
        ])
    }
  }

  @Test("Who connects is looked at when connections become twice as many as ever before, and then no more")
  func doubling() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    var servers: [Descriptor] = []
    for number in 0..<6 {
      let client = Descriptor(rawValue: 1_000_100 + Int32(number))
      let server = Descriptor(rawValue: 1_000_200 + Int32(number))
      // The second and the fourth; of the first there is nobody else.
      let looks = number == 1 || number == 3 ? servers : []
      bench.turn(
        [.accepted(client, on: .listener)],
        expecting: [
          .peerAddress(client, is: WorkerBench.clientAddress), .localAddress(client, is: "10.0.0.1:15001"),
          .originalDestination(client, is: "10.0.0.7:443"),
        ] + looks.map { .localAddress($0, is: "10.0.0.1:50000") } + [
          .openSocket(AF_INET, gives: server), .configureStream(server), .connect(server, to: "10.0.0.7:443"),
        ])
      servers.append(server)
    }
  }

  @Test("Nothing redirected the connection")
  func notRedirected() {
    let bench = WorkerBench()
    bench.listen(WorkerBench.plan(.original))
    bench.turn(
      [.accepted(.client, on: .listener)],
      expecting: Self.refused("10.0.0.1:15006", .originalDestination(.client, fails: ENOENT)))
    #expect(bench.closed(.connectLoop) == 1)
  }
}
