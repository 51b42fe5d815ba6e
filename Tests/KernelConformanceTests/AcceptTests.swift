// Goal: listeners hand over every connection once, and say when a multishot accept has ended and why.
// Method: clients dial in numbers above one turn's batch; descriptors run out in a child process with a low limit.

import Glibc
import IOUring
import Testing

@Suite struct AcceptTests {
  /// A single accept takes one connection; the next one waits for the next accept.
  @Test(arguments: KernelKind.allCases)
  func singleAcceptTakesOne(kind: KernelKind) throws {
    let world = try World(kind)
    let listener = try world.listen()
    let clients = try [listener.dial(), listener.dial()]
    for _ in clients {
      let completion = try world.outcome(world.accept(listener.descriptor, multishot: false))
      #expect(completion.isFinal)
      try #require(completion.result >= 0)
      world.close(Descriptor(rawValue: completion.result))
    }
    let third = world.accept(listener.descriptor, multishot: false)
    #expect(!world.hasCompleted(third))
    world.cancel(third)
    #expect(try world.outcome(third).result == -ECANCELED)
    for peer in clients { peer.close() }
    world.close(listener.descriptor)
  }

  /// One multishot accept serves hundreds of connections, before and after it was armed, in TCP and Unix alike; the
  /// accepted sockets are non-blocking and close-on-exec.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func multishotAcceptServesMany(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let listener = try world.listen(family, backlog: 512)
    var clients = try (0..<150).map { _ in try listener.dial() }
    let token = world.accept(listener.descriptor, multishot: true)
    var accepted: Set<Int32> = []
    for round in 0..<2 {
      if round == 1 { clients += try (0..<150).map { _ in try listener.dial() } }
      while accepted.count < clients.count {
        let completion = try world.outcome(token)
        try #require(completion.result >= 0 && !completion.isFinal)
        #expect(accepted.insert(completion.result).inserted)
      }
    }
    for descriptor in accepted {
      #expect(world.isFitForAWorker(descriptor))
      world.close(Descriptor(rawValue: descriptor))
    }
    world.cancel(token)
    #expect(try world.outcome(token).result == -ECANCELED)
    for peer in clients { peer.close() }
    world.close(listener.descriptor)
  }

  /// A burst on one listener does not keep another connection waiting for its end.
  @Test(arguments: KernelKind.allCases)
  func acceptBurstLeavesRoomForOthers(kind: KernelKind) throws {
    let world = try World(kind)
    let listener = try world.listen(backlog: 512)
    let (near, far) = try world.pair()
    let received = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(received))
    let token = world.accept(listener.descriptor, multishot: true)
    let clients = try (0..<200).map { _ in try listener.dial() }
    far.write([1])
    // Two turns: one may serve what submissions completed.
    world.turn(until: .max)
    world.turn()
    #expect(world.takeBytes(try world.outcome(received)) == [1])
    for _ in clients { world.close(Descriptor(rawValue: try world.outcome(token).result)) }
    world.cancel(token)
    _ = try world.outcome(token)
    for peer in clients { peer.close() }
    far.close()
    world.close(near)
    world.close(listener.descriptor)
  }

  /// Once a listener is to queue nobody new, whoever has begun to connect still arrives, and whoever begins then does not.
  @Test(arguments: KernelKind.allCases)
  func stoppedQueueTakesWhoHasBegun(kind: KernelKind) throws {
    let world = try World(kind)
    let listener = try world.listen()
    let token = world.accept(listener.descriptor, multishot: true)
    #expect(!world.hasCompleted(token))
    let halfway = try listener.dialHalfway()
    world.stopQueueing(listener.descriptor)
    let late = try listener.dial(blocking: false)
    halfway.write([7])
    let accepted = Descriptor(rawValue: try world.outcome(token).result)
    world.hearAgain(accepted)
    #expect(try world.receiveAll(accepted, count: 1) == [7])
    halfway.write([8])
    #expect(try world.receiveAll(accepted, count: 1) == [8])
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    #expect(try world.outcome(token).result == -ECANCELED)
    world.close(accepted)
    world.close(listener.descriptor)
    halfway.close()
    late.close()
  }

  /// Out of descriptors, a multishot accept ends with EMFILE and no `.more`. Once descriptors are back, a new one
  /// serves the connections that were left in the backlog. On the host in a child process: the limit is the process's.
  @Test func multishotAcceptEndsOnEMFILEOnRing() async {
    await #expect(processExitsWith: .success) { try AcceptTests.acceptOutOfDescriptors(.ring) }
  }

  @Test func multishotAcceptEndsOnEMFILEOnEpoll() async {
    await #expect(processExitsWith: .success) { try AcceptTests.acceptOutOfDescriptors(.epoll) }
  }

  @Test func multishotAcceptEndsOnEMFILEInTheSimulation() throws {
    try AcceptTests.acceptOutOfDescriptors(.simulation)
  }

  private static func acceptOutOfDescriptors(_ kind: KernelKind) throws {
    let world = try World(kind)
    let listener = try world.listen()
    let clients = try (0..<6).map { _ in try listener.dial() }
    try world.leaveDescriptors(2)
    let token = world.accept(listener.descriptor, multishot: true)
    var accepted: [Descriptor] = []
    var last: Completion
    repeat {
      last = try world.outcome(token)
      if last.result >= 0 { accepted.append(Descriptor(rawValue: last.result)) }
    } while !last.isFinal
    try #require(last.result == -EMFILE)
    try #require(accepted.count == 2)

    // Armed again too early it says the same again; it neither spins nor stays silent.
    let early = world.accept(listener.descriptor, multishot: true)
    try #require(try world.outcome(early).result == -EMFILE)

    try world.leaveManyDescriptors()
    let again = world.accept(listener.descriptor, multishot: true)
    for _ in 0..<4 {
      let completion = try world.outcome(again)
      try #require(completion.result >= 0 && !completion.isFinal)
    }
    for peer in clients { peer.close() }
  }
}
