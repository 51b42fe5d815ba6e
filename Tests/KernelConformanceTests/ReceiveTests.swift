// Goal: receives deliver the stream as it was sent, its end as it ended, and hold buffers only while they carry bytes.
// Method: the peer sends, finishes or resets on command; few and small buffers make starvation easy to reach.

import Glibc
import IOUring
import Testing

@Suite struct ReceiveTests {
  /// Whether the first attempt is made or skipped, the same bytes arrive.
  @Test(arguments: KernelKind.allCases, [true, false])
  func receivesWhatIsThere(kind: KernelKind, expectsData: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    far.write(pattern(100))
    let completion = try world.outcome(world.receive(near, expectsData: expectsData))
    #expect(completion.result == 100 && completion.isFinal)
    #expect(world.takeBytes(completion) == pattern(100))
    world.close(near)
  }

  /// A receive on a silent connection waits, and gets what comes later.
  @Test(arguments: KernelKind.allCases, [true, false])
  func receiveWaitsForData(kind: KernelKind, expectsData: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let token = world.receive(near, expectsData: expectsData)
    #expect(!world.hasCompleted(token))
    far.write(pattern(7))
    #expect(world.takeBytes(try world.outcome(token)) == pattern(7))
    world.close(near)
  }

  /// A receive into the caller's memory: what is there, without a provided buffer.
  @Test(arguments: KernelKind.allCases)
  func receiveIntoMemoryOfTheCaller(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let memory = world.allocate(1_000)
    #expect(try world.outcome(world.receive(near, into: memory)).result == -EAGAIN)
    far.write(pattern(1_500))
    var bytes: [UInt8] = []
    while bytes.count < 1_500 {
      #expect(try world.outcome(world.poll(near, for: .readable)).result & Int32(POLLIN) != 0)
      let completion = try world.outcome(world.receive(near, into: memory))
      #expect(completion.buffer == nil)
      try #require(completion.result > 0)
      bytes += memory.prefix(Int(completion.result))
    }
    #expect(bytes == pattern(1_500))
    world.close(near)
  }

  /// A long stream through small buffers arrives whole, whichever hint the last completion gave.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func streamArrivesWhole(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    let bytes = pattern(200_000)
    let writer = far.startWriting(bytes)
    #expect(try world.receiveAll(near, count: bytes.count + 1) == bytes)
    writer.result()
    far.close()
    world.close(near)
  }

  /// A buffer that was filled to the brim says that there may be more.
  @Test(arguments: KernelKind.allCases)
  func fullBufferSaysThatMoreIsThere(kind: KernelKind) throws {
    let world = try World(kind, bufferSize: 4_096)
    let (near, far) = try world.pair()
    defer { far.close() }
    far.write(pattern(5_000))
    let first = try world.outcome(world.receive(near))
    #expect(first.result == 4_096 && first.flags.contains(.socketNonEmpty))
    let second = try world.outcome(world.receive(near))
    #expect(second.result == 904 && !second.flags.contains(.socketNonEmpty))
    #expect(world.takeBytes(first) + world.takeBytes(second) == pattern(5_000))
    world.close(near)
  }

  /// The end of the stream is zero, holds no buffer, and stays so however often it is asked.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func endOfStreamIsZeroAgainAndAgain(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    far.write(pattern(10))
    far.close()
    #expect(world.takeBytes(try world.outcome(world.receive(near))) == pattern(10))
    for expectsData in [true, false, true] {
      let completion = try world.outcome(world.receive(near, expectsData: expectsData))
      #expect(completion.result == 0 && completion.buffer == nil)
    }
    world.close(near)
  }

  /// Bytes and FIN that arrive together: first the bytes, then the end, whatever is expected.
  @Test(arguments: KernelKind.allCases, [true, false])
  func bytesBeforeTheFinAreNotLost(kind: KernelKind, expectsData: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let token = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(token))
    far.write(pattern(10))
    far.close()
    #expect(world.takeBytes(try world.outcome(token)) == pattern(10))
    #expect(try world.outcome(world.receive(near, expectsData: expectsData)).result == 0)
    world.close(near)
  }

  /// Bytes and FIN that have come when the receive is made: the receive that takes the last bytes tells of the end.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func lastBytesTellOfTheEnd(kind: KernelKind, family: Family) throws {
    let world = try World(kind, bufferSize: 4_096)
    let (near, far) = try world.pair(family)
    far.write(pattern(5_000))
    far.finish()
    let first = try world.outcome(world.receive(near, expectsData: false))
    #expect(first.result == 4_096 && !first.flags.contains(.lastBytes))
    let second = try world.outcome(world.receive(near))
    #expect(second.result == 904 && second.flags.contains(.lastBytes))
    #expect(world.takeBytes(first) + world.takeBytes(second) == pattern(5_000))
    #expect(try world.outcome(world.receive(near)).result == 0)
    far.close()
    world.close(near)
  }

  /// Nor do bytes behind which nothing has come yet, or a reset, or urgent data in the middle, at which a receive stops.
  @Test(arguments: KernelKind.allCases, ["open", "reset", "urgent"])
  func otherBytesTellOfNoEnd(kind: KernelKind, what: String) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    far.write(pattern(10))
    switch what {
    case "reset": far.reset()
    case "urgent":
      far.writeUrgent(1)
      far.write(pattern(10))
      far.finish()
    default: break
    }
    let completion = try world.outcome(world.receive(near, expectsData: false))
    #expect(completion.result <= 10 && !completion.flags.contains(.lastBytes))
    if completion.result > 0 { _ = world.takeBytes(completion) }
    if what != "reset" { far.close() }
    world.close(near)
  }

  /// A reset by the peer is ECONNRESET for the receive that waits.
  @Test(arguments: KernelKind.allCases)
  func resetIsECONNRESET(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let token = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(token))
    far.reset()
    #expect(try world.outcome(token).result == -ECONNRESET)
    world.close(near)
  }

  /// The peer has finished; our direction goes on until we finish too.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func halfCloseByThePeerLeavesOurDirectionOpen(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    far.write(pattern(10))
    far.finish()
    #expect(try world.receiveAll(near, count: 11) == pattern(10))
    #expect(try world.outcome(world.send(near, pattern(20), mode: .complete)).result == 20)
    #expect(world.shutdown(near, .write) == 0)
    #expect(far.read(21) == pattern(20))
    far.close()
    world.close(near)
  }

  /// We have finished; the peer's direction goes on until it finishes too.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func halfCloseByUsLeavesThePeersDirectionOpen(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    let token = world.receive(near, expectsData: false)
    #expect(try world.outcome(world.send(near, pattern(20), mode: .complete)).result == 20)
    #expect(world.shutdown(near, .write) == 0)
    #expect(far.read(21) == pattern(20))
    far.write(pattern(10))
    far.close()
    #expect(world.takeBytes(try world.outcome(token)) == pattern(10))
    #expect(try world.outcome(world.receive(near)).result == 0)
    world.close(near)
  }

  /// Shutting down our own receiving side ends a receive that waits.
  @Test(arguments: KernelKind.allCases)
  func ownShutdownEndsAWaitingReceive(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let token = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(token))
    #expect(world.shutdown(near, .both) == 0)
    #expect(try world.outcome(token).result == 0)
    world.close(near)
  }

  /// With all buffers taken a readable socket answers ENOBUFS, and once one is given back its bytes are all there.
  @Test(arguments: KernelKind.allCases, [true, false])
  func receiveStarvesAndRecovers(kind: KernelKind, expectsData: Bool) throws {
    let world = try World(kind, bufferSize: 4_096, buffers: 2)
    let (near, far) = try world.pair()
    defer { far.close() }
    far.write(pattern(12_288))
    let held = [try world.outcome(world.receive(near)), try world.outcome(world.receive(near))]
    #expect(held.allSatisfy { $0.result == 4_096 })
    #expect(Set(held.map { $0.buffer?.rawValue }).count == 2)
    let starved = try world.outcome(world.receive(near, expectsData: expectsData))
    #expect(starved.result == -ENOBUFS && starved.buffer == nil)
    let first = world.takeBytes(held[0])
    let last = try world.outcome(world.receive(near, expectsData: expectsData))
    #expect(first + world.takeBytes(held[1]) + world.takeBytes(last) == pattern(12_288))
    world.close(near)
  }

  /// Receives that wait on silent connections hold no buffer: others can use all of them.
  @Test(arguments: KernelKind.allCases)
  func idleReceivesHoldNoBuffer(kind: KernelKind) throws {
    let world = try World(kind, buffers: 2)
    let pairs = try (0..<20).map { _ in try world.pair() }
    let waiting = pairs.map { world.receive($0.near, expectsData: true) }
    for (index, pair) in pairs.enumerated() {
      pair.far.write(pattern(10, seed: UInt64(index)))
      #expect(world.takeBytes(try world.outcome(waiting[index])) == pattern(10, seed: UInt64(index)))
    }
    for pair in pairs {
      pair.far.close()
      world.close(pair.near)
    }
  }

  /// A receive stops at urgent data, RFC 9293 section 3.8.5; what follows it must not wait for yet more to arrive.
  @Test(arguments: KernelKind.allCases)
  func urgentDataDoesNotStallTheStream(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let token = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(token))
    far.write(pattern(10))
    far.writeUrgent(0xFF)
    far.write(pattern(20))
    var bytes = world.takeBytes(try world.outcome(token))
    while bytes.count < 30 {
      let completion = try world.outcome(world.receive(near, expectsData: false))
      try #require(completion.result > 0)
      bytes += world.takeBytes(completion)
    }
    #expect(bytes == pattern(10) + pattern(20))
    world.close(near)
  }

  /// The same where all of it has come before anybody receives, at once or piece by piece.
  @Test(arguments: KernelKind.allCases, [true, false])
  func urgentDataBeforeTheReceiveDoesNotStallTheStream(kind: KernelKind, turnsBetween: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let token = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(token))
    far.write(pattern(5))
    #expect(world.takeBytes(try world.outcome(token)) == pattern(5))
    far.write(pattern(10))
    if turnsBetween { world.turn() }
    far.writeUrgent(0xFF)
    if turnsBetween { world.turn() }
    far.write(pattern(20))
    world.turn()
    #expect(try world.receiveAll(near, count: 30) == pattern(10) + pattern(20))
    world.close(near)
  }
}
