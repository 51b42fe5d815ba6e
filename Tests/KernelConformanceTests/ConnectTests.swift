// Goal: a connect ends with the truth: established, refused, or given up by us.
// Method: listeners with room, without room, and none at all, over TCP and Unix.

import Glibc
import IOUring
import Testing

@Suite struct ConnectTests {
  /// An established connection carries bytes both ways at once.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func connectsAndCarriesBytes(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let listener = try world.listen(family)
    let socket = Descriptor(rawValue: world.openSocket(family: family == .tcp ? AF_INET : AF_UNIX))
    try #require(socket.isOpen)
    #expect(try world.outcome(world.connect(socket, to: listener.address)).result == 0)
    let accepted = try world.outcome(world.accept(listener.descriptor, multishot: false))
    let server = Descriptor(rawValue: accepted.result)
    #expect(try world.outcome(world.send(socket, pattern(50), mode: .complete)).result == 50)
    #expect(try world.receiveAll(server, count: 50) == pattern(50))
    #expect(try world.outcome(world.send(server, pattern(60), mode: .complete)).result == 60)
    #expect(try world.receiveAll(socket, count: 60) == pattern(60))
    for descriptor in [socket, server, listener.descriptor] { world.close(descriptor) }
  }

  /// Nobody listens: ECONNREFUSED, through the completion.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func refusedConnectIsECONNREFUSED(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let listener = try world.listen(family)
    world.close(listener.descriptor)
    let socket = Descriptor(rawValue: world.openSocket(family: family == .tcp ? AF_INET : AF_UNIX))
    #expect(try world.outcome(world.connect(socket, to: listener.address)).result == -ECONNREFUSED)
    world.close(socket)
  }

  /// A Unix socket whose listener has no room does not wait, unix(7): EAGAIN, at once.
  @Test(arguments: KernelKind.allCases)
  func unixConnectToAFullBacklogIsEAGAIN(kind: KernelKind) throws {
    let world = try World(kind)
    let listener = try world.listen(.unix, backlog: 0)
    var waiting: [any Peer] = []
    repeat { waiting.append(try listener.dial(blocking: false)) } while waiting.count < 3
    let socket = Descriptor(rawValue: world.openSocket(family: AF_UNIX))
    #expect(try world.outcome(world.connect(socket, to: listener.address)).result == -EAGAIN)
    for peer in waiting { peer.close() }
    world.close(socket)
    world.close(listener.descriptor)
  }

  /// A listener whose backlog is full lets a TCP connect wait; giving it up is possible at any time.
  @Test(arguments: KernelKind.allCases)
  func connectThatHangsCanBeCancelled(kind: KernelKind) throws {
    let world = try World(kind)
    let listener = try world.listen(backlog: 0)
    let waiting = try (0..<4).map { _ in try listener.dial(blocking: false) }
    let socket = Descriptor(rawValue: world.openSocket(family: AF_INET))
    let token = world.connect(socket, to: listener.address)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    #expect(try world.outcome(token).result == -ECANCELED)
    for peer in waiting { peer.close() }
    world.close(socket)
    world.close(listener.descriptor)
  }
}
