// Goal: a cancelled operation completes once, with ECANCELED or with its own outcome, and leaves nothing behind.
// Method: cancels of each kind of operation, before, at and after its completion.

import Glibc
import IOUring
import Testing

@Suite struct CancelTests {
  /// A receive that waits ends with ECANCELED and holds no buffer; the bytes that come later are for the next one.
  @Test(arguments: KernelKind.allCases)
  func receive(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let token = world.receive(near)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    let completion = try world.outcome(token)
    #expect(completion.result == -ECANCELED && completion.buffer == nil && completion.isFinal)
    far.write(pattern(10))
    #expect(try world.receiveAll(near, count: 10) == pattern(10))
    world.close(near)
  }

  /// A receive that is cancelled in the turn that submits it completes once all the same.
  @Test(arguments: KernelKind.allCases, [true, false])
  func receiveInTheSameTurn(kind: KernelKind, hasData: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    if hasData { far.write(pattern(10)) }
    let token = world.receive(near)
    world.cancel(token)
    let completion = try world.outcome(token)
    if completion.result == -ECANCELED {
      #expect(completion.buffer == nil)
    } else {
      #expect(hasData)
      #expect(world.takeBytes(completion) == pattern(10))
    }
    world.close(near)
  }

  /// Data and cancellation race: whatever wins, no byte is lost.
  @Test(arguments: KernelKind.allCases)
  func receiveThatRacesWithData(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    for round in 0..<50 {
      let token = world.receive(near, expectsData: round % 2 == 0)
      #expect(!world.hasCompleted(token))
      far.write(pattern(10))
      world.cancel(token)
      let completion = try world.outcome(token)
      if completion.result == -ECANCELED {
        #expect(try world.receiveAll(near, count: 10) == pattern(10))
      } else {
        #expect(world.takeBytes(completion) == pattern(10))
      }
    }
    world.close(near)
  }

  /// A send that could not put anything in ends with ECANCELED. A full Unix socket stays full; TCP may move on.
  @Test(arguments: KernelKind.allCases)
  func sendThatIsStuck(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(.unix, smallBuffers: true)
    let before = try world.fill(near)
    let token = world.send(near, pattern(100), mode: .complete)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    #expect(try world.outcome(token).result == -ECANCELED)
    #expect(world.shutdown(near, .write) == 0)
    #expect(far.read(before + 1).count == before)
    far.close()
    world.close(near)
  }

  /// A send of which a part is out reports that part, and not a byte more arrives.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func sendThatIsPartlyOut(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family, smallBuffers: true)
    let bytes = pattern(1 << 20)
    let token = world.send(near, bytes, mode: .complete)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    let sent = try Int(world.outcome(token).result)
    try #require(sent > 0 && sent < bytes.count)
    #expect(world.shutdown(near, .write) == 0)
    #expect(far.read(bytes.count) == Array(bytes.prefix(sent)))
    far.close()
    world.close(near)
  }

  /// An accept that waits, single or multishot.
  @Test(arguments: KernelKind.allCases, [true, false])
  func accept(kind: KernelKind, multishot: Bool) throws {
    let world = try World(kind)
    let listener = try world.listen()
    let token = world.accept(listener.descriptor, multishot: multishot)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    let completion = try world.outcome(token)
    #expect(completion.result == -ECANCELED && completion.isFinal)
    let client = try listener.dial()
    let accepted = try world.outcome(world.accept(listener.descriptor, multishot: false))
    #expect(accepted.result >= 0)
    world.close(Descriptor(rawValue: accepted.result))
    client.close()
    world.close(listener.descriptor)
  }

  /// Polls for each kind of readiness.
  @Test(arguments: KernelKind.allCases, [Readiness.readable, .writable, .hangUp])
  func poll(kind: KernelKind, readiness: Readiness) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(.unix, smallBuffers: true)
    defer { far.close() }
    _ = try world.fill(near)
    let token = world.poll(near, for: readiness)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    #expect(try world.outcome(token).result == -ECANCELED)
    world.close(near)
  }

  /// Cancelling what has completed, or was never there, does nothing: no completion, and no harm to others.
  @Test(arguments: KernelKind.allCases)
  func lateAndUnknownTargets(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    far.write([1])
    let done = world.receive(near)
    _ = world.takeBytes(try world.outcome(done))
    let waiting = world.receive(near)
    world.cancel(done)
    world.cancel(Token(rawValue: 0xDEAD_BEEF))
    #expect(!world.hasCompleted(waiting))
    #expect(world.unclaimedCount == 0)
    far.write([2])
    #expect(world.takeBytes(try world.outcome(waiting)) == [2])
    world.close(near)
  }

  /// Every operation of many sockets is cancelled in one go, as a worker does that stops.
  @Test(arguments: KernelKind.allCases)
  func everythingAtOnce(kind: KernelKind) throws {
    let world = try World(kind)
    let pairs = try (0..<100).map { _ in try world.pair() }
    let tokens = pairs.flatMap { [world.receive($0.near), world.poll($0.near, for: .hangUp)] }
    world.turn()
    #expect(world.unclaimedCount == 0)
    for token in tokens { world.cancel(token) }
    for token in tokens { #expect(try world.outcome(token).result == -ECANCELED) }
    for pair in pairs {
      pair.far.close()
      world.close(pair.near)
    }
  }
}
