// Goal: a poll tells of readiness that is there as well as of readiness to come, once, and never of readiness that
// has passed. Method: polls before and after the event, with bytes moved by splice(2) and eventfd reads in between,
// which the kernel under test does not see.

import Glibc
import IOUring
import Testing

@Suite struct PollTests {
  /// Bytes that are there, and bytes to come.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func readable(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    defer { far.close() }
    let early = world.poll(near, for: .readable)
    #expect(!world.hasCompleted(early))
    far.write([1])
    #expect(try world.outcome(early).result & Int32(POLLIN) != 0)
    #expect(try world.outcome(world.poll(near, for: .readable)).result & Int32(POLLIN) != 0)
    #expect(try world.receiveAll(near, count: 1) == [1])
    let late = world.poll(near, for: .readable)
    #expect(!world.hasCompleted(late))
    far.finish()
    #expect(try world.outcome(late).result > 0)
    world.close(near)
  }

  /// The answer is there at once, and asking changes nothing.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func readableNow(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    #expect(!world.isReadable(near))
    far.write([1])
    _ = try world.outcome(world.poll(near, for: .readable))
    #expect(world.isReadable(near) && world.isReadable(near))
    let bytes = world.allocate(8)
    #expect(try world.outcome(world.receive(near, into: bytes)).result == 1)
    #expect(!world.isReadable(near))
    far.close()
    _ = try world.outcome(world.poll(near, for: .readable))
    #expect(world.isReadable(near))
    world.close(near)
  }

  /// A full socket is writable once its peer has drained it.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func writable(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family, smallBuffers: true)
    defer { far.close() }
    #expect(try world.outcome(world.poll(near, for: .writable)).result & Int32(POLLOUT) != 0)
    let count = try world.fill(near)
    let token = world.poll(near, for: .writable)
    #expect(!world.hasCompleted(token))
    #expect(far.read(count).count == count)
    #expect(try world.outcome(token).result & Int32(POLLOUT) != 0)
    #expect(try world.outcome(world.send(near, [1], mode: .immediate)).result == 1)
    world.close(near)
  }

  /// That the peer has finished, and that bytes came before, is no room to send.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func writableAfterThePeerHasFinished(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family, smallBuffers: true)
    defer { far.close() }
    far.write([1])
    far.finish()
    let count = try world.fill(near)
    for _ in 0..<2 {
      let token = world.poll(near, for: .writable)
      #expect(!world.hasCompleted(token))
      world.cancel(token)
      #expect(try world.outcome(token).result == -ECANCELED)
    }
    let token = world.poll(near, for: .writable)
    #expect(far.read(count).count == count)
    #expect(try world.outcome(token).result & Int32(POLLOUT) != 0)
    world.close(near)
  }

  /// A reset is seen on a socket that nobody reads; bytes and a FIN before it are not mistaken for it.
  @Test(arguments: KernelKind.allCases)
  func hangUpTellsOfAReset(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let token = world.poll(near, for: .hangUp)
    #expect(!world.hasCompleted(token))
    far.write(pattern(10))
    #expect(!world.hasCompleted(token))
    far.finish()
    #expect(!world.hasCompleted(token))
    far.reset()
    #expect(try world.outcome(token).result & Int32(POLLERR | POLLHUP) != 0)
    world.close(near)
  }

  /// Both directions gone is a hang-up, also for a poll that comes after it.
  @Test(arguments: KernelKind.allCases, Family.allCases)
  func hangUpTellsThatBothDirectionsAreGone(kind: KernelKind, family: Family) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(family)
    let early = world.poll(near, for: .hangUp)
    #expect(!world.hasCompleted(early))
    #expect(world.shutdown(near, .write) == 0)
    far.close()
    #expect(try world.outcome(early).result & Int32(POLLHUP) != 0)
    #expect(try world.outcome(world.poll(near, for: .hangUp)).result & Int32(POLLHUP) != 0)
    world.close(near)
  }

  /// All readiness of one socket can be waited for at once, beside a receive and a send; a reset ends them all. Which
  /// of them gets the errno is open: the socket tells it once.
  @Test(arguments: KernelKind.allCases)
  func allOperationsOfOneSocketAtOnce(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair(smallBuffers: true)
    let input = [
      world.receive(near, expectsData: false), world.poll(near, for: .readable), world.poll(near, for: .hangUp),
    ]
    let output = [world.send(near, pattern(1 << 20), mode: .complete), world.poll(near, for: .writable)]
    world.turn()
    for token in input { #expect(!world.hasCompleted(token)) }
    far.reset()
    for token in input + output {
      #expect(try world.outcome(token).isFinal)
    }
    world.close(near)
  }

  /// splice(2) moves a stream through a pipe; polls before each move tell when there is something to move.
  @Test(arguments: KernelKind.allCases)
  func spliceFromSocketToSocket(kind: KernelKind) throws {
    let world = try World(kind)
    let (source, sender) = try world.pair()
    let (sink, receiver) = try world.pair(smallBuffers: true)
    let pipe = try world.openPipe(capacity: 65_536).get()
    #expect(pipe.capacity >= 4_096)
    let bytes = pattern(600_000)
    let writer = sender.startWriting(bytes)
    let reader = receiver.startReading(bytes.count)
    var inPipe = 0
    var hasEnded = false
    while !hasEnded || inPipe > 0 {
      if !hasEnded && inPipe == 0 {
        let moved = world.splice(from: source, to: pipe.writeEnd, count: pipe.capacity)
        switch moved {
        case 0: hasEnded = true
        case -Int(EAGAIN): #expect(try world.outcome(world.poll(source, for: .readable)).result > 0)
        default:
          try #require(moved > 0)
          inPipe += moved
        }
      }
      if inPipe > 0 {
        let moved = world.splice(from: pipe.readEnd, to: sink, count: inPipe)
        if moved == -Int(EAGAIN) {
          #expect(try world.outcome(world.poll(sink, for: .writable)).result > 0)
        } else {
          try #require(moved > 0)
          inPipe -= moved
        }
      }
    }
    // A poll after all was moved behind the kernel's back tells of the FIN, and a receive finds it.
    #expect(try world.outcome(world.poll(source, for: .readable)).result > 0)
    #expect(try world.outcome(world.receive(source)).result == 0)
    #expect(reader.result() == bytes)
    writer.result()
    sender.close()
    receiver.close()
    for descriptor in [source, sink, pipe.readEnd, pipe.writeEnd] { world.close(descriptor) }
  }

  /// A poll does not report readiness that was used up outside of the kernel under test.
  @Test(arguments: KernelKind.allCases)
  func pollAfterForeignReadWaits(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    defer { far.close() }
    let first = world.poll(near, for: .readable)
    #expect(!world.hasCompleted(first))
    for round in 0..<3 {
      far.write(pattern(10))
      let token = round == 0 ? first : world.poll(near, for: .readable)
      #expect(try world.outcome(token).result & Int32(POLLIN) != 0)
      #expect(world.readBehind(near, 10) == pattern(10))
    }
    let last = world.poll(near, for: .readable)
    #expect(!world.hasCompleted(last))
    world.cancel(last)
    _ = try world.outcome(last)
    world.close(near)
  }

  /// Another thread wakes a kernel that waits for ever, time and again.
  @Test(arguments: KernelKind.allCases)
  func eventDescriptorWakesFromAnotherThread(kind: KernelKind) throws {
    let world = try World(kind)
    let event = try EventDescriptor.make()
    for _ in 0..<3 {
      let token = world.poll(event, for: .readable)
      #expect(!world.hasCompleted(token))
      let notification = world.notifyMeanwhile(event)
      world.turn(until: .max)
      #expect(try world.outcome(token).result & Int32(POLLIN) != 0)
      world.acknowledge(event)
      notification.result()
    }
    world.close(event)
  }

  /// Urgent data before the end: splice(2) gets no further, which is not the end of the stream. RFC 9293 section 3.8.5.
  @Test(arguments: KernelKind.allCases)
  func spliceStopsAtUrgentData(kind: KernelKind) throws {
    let world = try World(kind)
    let (source, sender) = try world.pair()
    let pipe = try world.openPipe(capacity: 65_536).get()
    sender.write(pattern(10))
    sender.writeUrgent(0xFF)
    sender.write(pattern(20))
    sender.finish()
    var count = 0
    var moved = 0
    repeat {
      #expect(try world.outcome(world.poll(source, for: .readable)).result > 0)
      moved = world.splice(from: source, to: pipe.writeEnd, count: pipe.capacity)
      count += max(moved, 0)
    } while moved > 0
    #expect(count >= 10)
    #expect(moved == (count == 30 ? 0 : -Int(EAGAIN)))
    #expect(try world.receiveAll(source, count: 31 - count).count == 30 - count)
    sender.close()
    for descriptor in [source, pipe.readEnd, pipe.writeEnd] { world.close(descriptor) }
  }
}
