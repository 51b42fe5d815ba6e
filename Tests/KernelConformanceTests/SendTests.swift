// Goal: sends move every byte in order, tell the truth about what went out, and never wait where they must not.
// Method: connections with small socket buffers, so that one write shows a full socket; the peer drains on command.

import Glibc
import IOUring
import Testing

@Suite struct SendTests {
  /// What fits is taken; the rest is not, and nothing waits for the peer.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func immediateSendComesShortOnAFullSocket(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family, smallBuffers: true)
    defer { far.close() }
    let bytes = pattern(1 << 20)
    let first = try world.outcome(world.send(near, bytes, mode: .immediate))
    #expect(first.result > 0 && first.result < bytes.count)
    let rest = try world.fill(near)
    #expect(try world.outcome(world.send(near, bytes, mode: .immediate)).result == -EAGAIN)
    #expect(far.read(Int(first.result)) == Array(bytes.prefix(Int(first.result))))
    #expect(far.read(rest).count == rest)
    world.close(near)
  }

  /// A send that came short, or not at all, ends the wait by itself: the worker may have nothing else in flight.
  @Test(arguments: KernelKind.allCases)
  func immediateSendThatFailsNeedsNoOtherEvent(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(smallBuffers: true)
    defer { far.close() }
    _ = try world.fill(near)
    let token = world.send(near, [1], mode: .immediate)
    let deadline = world.now + 10_000_000_000
    world.turn(until: deadline)
    #expect(world.now < deadline)
    #expect(try world.outcome(token).result == -EAGAIN)
    world.close(near)
  }

  /// A send that took everything completes in the turn that submits it, and ends its wait.
  @Test(arguments: KernelKind.allCases)
  func immediateSendCompletesWithinTheNextTurn(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let sent = world.send(near, pattern(64), mode: .immediate)
    let deadline = world.now + 10_000_000_000
    world.turn(until: deadline)
    #expect(world.now < deadline && world.unclaimedCount == 1)
    #expect(try world.outcome(sent).result == 64)
    #expect(far.read(64) == pattern(64))
    world.close(near)
  }

  /// What is handed over is on its way before anybody waits; its completion belongs to the next turn all the same.
  @Test(arguments: KernelKind.onHost)
  func handedOverSendGoesOutAtOnce(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let sent = world.send(near, pattern(64), mode: .immediate)
    world.submit()
    #expect(far.read(64) == pattern(64))
    #expect(world.nextCompletion() == nil)
    #expect(try world.outcome(sent).result == 64)
    world.close(near)
  }

  /// What is sent before more goes with it: all arrives, in order, and over TCP in one segment.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func sendBeforeMoreGoesWithIt(kind: KernelKind, family: Family) throws {
    try expectOneSegment(kind, family) { (world: World, near: Descriptor, far: any Peer) throws in
      let bytes = pattern(100)
      #expect(try world.outcome(world.send(near, Array(bytes[..<60]), mode: .immediateBeforeMore)).result == 60)
      #expect(try world.outcome(world.send(near, Array(bytes[60...]), mode: .immediate)).result == 40)
      #expect(far.read(100) == bytes)
    }
  }

  /// The end is more as well.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func sendBeforeTheEndGoesWithIt(kind: KernelKind, family: Family) throws {
    try expectOneSegment(kind, family) { (world: World, near: Descriptor, far: any Peer) throws in
      #expect(try world.outcome(world.send(near, pattern(60), mode: .immediateBeforeMore)).result == 60)
      #expect(world.shutdown(near, .write) == 0)
      #expect(far.read(60) == pattern(60))
      #expect(far.readEnd() == 0)
    }
  }

  /// Where nothing follows after all, what was held back goes at once: the segment is there before anybody waits for it.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func heldBackIsSent(kind: KernelKind, family: Family) throws {
    try expectOneSegment(kind, family) { (world: World, near: Descriptor, far: any Peer) throws in
      #expect(try world.outcome(world.send(near, pattern(60), mode: .immediateBeforeMore)).result == 60)
      world.sendHeldBack(near)
      guard family != .tcp || !KernelKind.onHost.contains(kind) else { return }
      #expect(far.read(60) == pattern(60))
    }
  }

  /// Where the machine stops between two calls for so long that the kernel sends what it holds back, that is two: not every
  /// time.
  private func expectOneSegment(
    _ kind: KernelKind, _ family: Family, _ body: (World, Descriptor, any Peer) throws -> Void
  ) throws {
    var counts: [UInt32] = []
    repeat {
      let world = try World(kind)
      let (near, far) = try world.pair(family)
      defer {
        world.close(near)
        far.close()
      }
      let before = far.segmentsReceived()
      try body(world, near, far)
      guard family == .tcp, KernelKind.onHost.contains(kind) else { return }
      counts.append(try #require(far.segmentsReceived()) - (try #require(before)))
    } while counts.last != 1 && counts.count < 5
    #expect(counts.last == 1, "segments: \(counts)")
  }

  /// A complete send outlives a full socket and ends when the peer has drained enough; bytes stay in order.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func completeSendFinishesWhileThePeerDrains(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family, smallBuffers: true)
    defer { far.close() }
    let bytes = pattern(1 << 20)
    let sent = world.send(near, bytes, mode: .complete)
    #expect(!world.hasCompleted(sent))
    let reader = far.startReading(bytes.count)
    #expect(try world.outcome(sent).result == bytes.count)
    #expect(reader.result() == bytes)
    world.close(near)
  }

  /// Peers that have finished and don't read keep nobody else waiting, however many they are.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func completeSendsDoNotWaitForOneAnother(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let stuck = try (0..<3).map { _ in try world.pair(family, smallBuffers: true) }
    let bytes = pattern(1 << 20)
    let waiting = stuck.map { near, far in
      far.finish()
      return world.send(near, bytes, mode: .complete)
    }
    for token in waiting { #expect(!world.hasCompleted(token)) }
    let (near, far) = try world.pair(family, smallBuffers: true)
    far.finish()
    let reader = far.startReading(bytes.count)
    #expect(try world.outcome(world.send(near, bytes, mode: .complete)).result == bytes.count)
    #expect(reader.result() == bytes)
    for token in waiting { #expect(!world.hasCompleted(token)) }
    for (token, (near, far)) in zip(waiting, stuck) {
      far.reset()
      _ = try world.outcome(token)
      world.close(near)
    }
    far.close()
    world.close(near)
  }

  /// What the peer has acknowledged grows as it reads, and is told as long as something is left.
  @Test(arguments: KernelKind.allCases)
  func deliveredBytes(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(smallBuffers: true)
    #expect(world.deliveredBytes(near) == nil)
    let count = try world.fill(near)
    let first = try #require(world.deliveredBytes(near))
    #expect(first <= count)
    #expect(far.read(count).count == count)
    let deadline = world.now + 10_000_000_000
    while world.deliveredBytes(near) != nil, world.now < deadline { world.turn(until: world.now + 1_000_000) }
    #expect(world.deliveredBytes(near) == nil)
    _ = try world.fill(near)
    #expect(try #require(world.deliveredBytes(near)) > first)
    far.close()
    world.close(near)
  }

  /// Two complete sends one after the other, the second submitted on the completion of the first, keep their order.
  @Test(arguments: KernelKind.allCases)
  func sendsInARowKeepTheirOrder(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(smallBuffers: true)
    defer { far.close() }
    let bytes = pattern(300_000)
    let reader = far.startReading(bytes.count)
    var rest = bytes[...]
    while !rest.isEmpty {
      let chunk = Array(rest.prefix(70_001))
      #expect(try world.outcome(world.send(near, chunk, mode: .complete)).result == chunk.count)
      rest = rest.dropFirst(chunk.count)
    }
    #expect(reader.result() == bytes)
    world.close(near)
  }

  /// The peer resets in the middle: what went out is reported first, then the error. No SIGPIPE.
  @Test(arguments: KernelKind.allCases)
  func completeSendIntoAResetEnds(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(smallBuffers: true)
    let bytes = pattern(1 << 20)
    let sent = world.send(near, bytes, mode: .complete)
    #expect(!world.hasCompleted(sent))
    far.reset()
    let first = try world.outcome(sent)
    #expect(first.result < bytes.count)
    let second = try world.outcome(world.send(near, [1], mode: .complete))
    #expect(second.result == -EPIPE || second.result == -ECONNRESET)
    world.close(near)
  }

  /// After shutdown of the write side a send is refused at once.
  @Test(arguments: KernelKind.allCases, [SendMode.immediate, .complete])
  func sendAfterShutdownIsEPIPE(kind: KernelKind, mode: SendMode) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    #expect(world.shutdown(near, .write) == 0)
    #expect(try world.outcome(world.send(near, [1], mode: mode)).result == -EPIPE)
    world.close(near)
  }
}
