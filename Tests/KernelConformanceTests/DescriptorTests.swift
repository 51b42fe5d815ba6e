// Goal: a descriptor number that is used again starts afresh, closing tells the peer what was asked for, and turns end
// when they should. Method: numbers far above those of other tests, so that reuse is certain.

import Glibc
import IOUring
import Testing

@Suite struct DescriptorTests {
  /// The next owner of a number sees nothing of the former: not its readiness, its end, or its events.
  @Test(arguments: KernelKind.allCases)
  func numberIsReusedAfterClose(kind: KernelKind) throws {
    let world = try World(kind)
    var number: Descriptor?
    for round in 0..<4 {
      let (near, far) = try world.pair()
      let socket = try world.renumber(near)
      #expect(number == nil || socket == number)
      number = socket
      let token = world.receive(socket, expectsData: false)
      let watch = world.poll(socket, for: .hangUp)
      #expect(!world.hasCompleted(token) && !world.hasCompleted(watch))
      far.write(pattern(10, seed: UInt64(round)))
      #expect(world.takeBytes(try world.outcome(token)) == pattern(10, seed: UInt64(round)))
      world.cancel(watch)
      #expect(try world.outcome(watch).result == -ECANCELED)
      // Leaves an unread end of stream, or a reset, to the number.
      if round % 2 == 0 { far.close() } else { far.reset() }
      world.close(socket)
    }
  }

  /// close after resetOnClose is a reset for the peer; without it, a FIN.
  @Test(arguments: KernelKind.allCases, [true, false])
  func resetOnCloseIsAReset(kind: KernelKind, isReset: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let token = world.receive(near)
    #expect(!world.hasCompleted(token))
    world.cancel(token)
    _ = try world.outcome(token)
    if isReset { world.resetOnClose(near) }
    world.close(near)
    world.turn()
    #expect(far.readEnd() == (isReset ? ECONNRESET : 0))
    far.close()
  }

  /// close of a socket with bytes that nobody has read is a reset, which takes along what was sent; not after discardInput.
  @Test(arguments: KernelKind.allCases, [true, false])
  func unreadBytesMakeACloseAReset(kind: KernelKind, discards: Bool) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    far.write([UInt8](repeating: 1, count: 4_000))
    while !world.isReadable(near) {}
    let sending = world.send(near, [1, 2, 3], mode: .immediate)
    #expect(try world.outcome(sending).result == 3)
    if discards { world.discardInput(near) }
    world.close(near)
    world.turn()
    #expect(far.readEnd() == (discards ? 0 : ECONNRESET))
    far.close()
  }

  /// Both ends' addresses, and an error once nobody is connected.
  @Test(arguments: KernelKind.allCases)
  func addresses(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let local = world.allocate(MemoryLayout<sockaddr_in>.size)
    let peer = world.allocate(MemoryLayout<sockaddr_in>.size)
    #expect(world.localAddress(near, into: local) == 0)
    #expect(world.peerAddress(near, into: peer) == 0)
    #expect(UInt16(bigEndian: peer.loadUnaligned(as: sockaddr_in.self).sin_port) == far.port())
    #expect(UInt16(bigEndian: local.loadUnaligned(as: sockaddr_in.self).sin_port) != far.port())
    far.close()
    world.close(near)
    let lone = Descriptor(rawValue: world.openSocket(family: AF_INET))
    #expect(world.peerAddress(lone, into: peer) == -ENOTCONN)
    world.close(lone)
  }

  /// A socket whose other end is on this host sends as fast as it can; others keep what the host has set.
  @Test(arguments: KernelKind.allCases)
  func sendingUnpaced(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, other) = (try world.pair(), try world.pair())
    let before = world.congestionControl(near.near)
    world.sendUnpaced(near.near)
    #expect(world.congestionControl(near.near) == (before == nil ? nil : "reno"))
    #expect(world.congestionControl(other.near) == before)
    for pair in [near, other] {
      pair.far.close()
      world.close(pair.near)
    }
  }

  /// Operations on a number that nobody owns complete with an error, as everything completes.
  @Test(arguments: KernelKind.allCases)
  func closedDescriptorIsEBADF(kind: KernelKind) throws {
    let world = try World(kind)
    let closed = world.unusedDescriptor
    #expect(try world.outcome(world.receive(closed)).result == -EBADF)
    #expect(try world.outcome(world.receive(closed, expectsData: false)).result == -EBADF)
    #expect(try world.outcome(world.send(closed, [1], mode: .complete)).result == -EBADF)
    #expect(try world.outcome(world.poll(closed, for: .readable)).result == -EBADF)
    #expect(try world.outcome(world.accept(closed, multishot: true)).result == -EBADF)
  }

  /// Hundreds of sockets wait at once; whichever speaks is heard.
  @Test(arguments: KernelKind.allCases)
  func hundredsOfDescriptorsAtOnce(kind: KernelKind) throws {
    let world = try World(kind, buffers: 64)
    let pairs = try (0..<400).map { _ in try world.pair() }
    for round in 0..<3 {
      let tokens = pairs.map { world.receive($0.near, expectsData: round == 1) }
      for (index, pair) in pairs.enumerated().reversed() {
        pair.far.write(pattern(64, seed: UInt64(index)))
        // The buffers are fewer than the sockets: a batch has to be taken before the next can arrive.
        if index % 50 == 0 {
          for taken in index..<min(index + 50, pairs.count) {
            #expect(world.takeBytes(try world.outcome(tokens[taken])) == pattern(64, seed: UInt64(taken)))
          }
        }
      }
    }
    #expect(world.unclaimedCount == 0)
    for pair in pairs {
      pair.far.close()
      world.close(pair.near)
    }
  }

  // MARK: Turns

  /// With nothing to complete, wait returns at the deadline: not before it, and with no completion.
  @Test(arguments: KernelKind.allCases)
  func waitReturnsAtTheDeadline(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let token = world.receive(near)
    for milliseconds: UInt64 in [0, 1, 7] {
      let deadline = world.now + milliseconds * 1_000_000
      var turns = 0
      repeat {
        world.turn(until: deadline)
        turns += 1
      } while world.now < deadline
      // A signal to this thread may end a wait early; a kernel that doesn't wait takes thousands of turns.
      #expect(turns < 10)
      #expect(world.unclaimedCount == 0)
    }
    // A deadline that has passed is no reason to miss what is there.
    far.write([1])
    #expect(world.hasCompleted(token))
    _ = world.takeBytes(try world.outcome(token))
    far.close()
    world.close(near)
  }

  /// Who doesn't wait is told of everything that is there: completions that a submission has brought don't keep others out.
  @Test(arguments: KernelKind.onHost)
  func turnWithoutWaitBringsEvents(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let (other, beyond) = try world.pair()
    let received = world.receive(near)
    world.turn(until: 0)
    #expect(world.unclaimedCount == 0)
    far.write([1])
    let sent = world.send(other, [2], mode: .immediate)
    world.turn(until: 0)
    #expect(world.unclaimedCount == 2)
    #expect(try world.outcome(sent).result == 1)
    _ = world.takeBytes(try world.outcome(received))
    for end in [far, beyond] { end.close() }
    for end in [near, other] { world.close(end) }
  }

  @Test(arguments: KernelKind.allCases)
  func clockWithinATurn(kind: KernelKind) throws {
    let world = try World(kind)
    world.turn(until: 0)
    let begun = world.now
    usleep(1)
    #expect(world.now == begun)
    world.readClock()
    let looked = world.now
    #expect(looked > begun)
    world.turn(until: 0)
    #expect(world.now >= looked)
  }

  /// Events that complete nothing (bytes that nobody receives) do not end a wait early.
  @Test(arguments: KernelKind.allCases)
  func bytesThatNobodyReceivesDoNotEndTheWait(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    let watch = world.poll(near, for: .hangUp)
    #expect(!world.hasCompleted(watch))
    far.write([1])
    let deadline = world.now + 5_000_000
    var turns = 0
    while world.now < deadline {
      world.turn(until: deadline)
      turns += 1
    }
    // A signal to this thread may end a wait early; a kernel that doesn't wait takes thousands of turns.
    #expect(turns < 10 && world.unclaimedCount == 0)
    far.close()
    world.cancel(watch)
    _ = try world.outcome(watch)
    world.close(near)
  }

  /// A worker that submits something sure to complete in every turn still hears of everything else.
  @Test(arguments: KernelKind.allCases)
  func endlessSendsDoNotKeepEventsOut(kind: KernelKind) throws {
    let world = try World(kind)
    let (busy, drain) = try world.pair()
    let (near, far) = try world.pair()
    let received = world.receive(near, expectsData: false)
    #expect(!world.hasCompleted(received))
    far.write([1])
    var turns = 0
    var arrived: Completion?
    while arrived == nil && turns < 10 {
      let sent = world.send(busy, [2], mode: .immediate)
      world.turn(until: .max)
      turns += 1
      #expect(world.take(sent)?.result == 1)
      arrived = world.take(received)
    }
    #expect(world.takeBytes(try #require(arrived)) == [1])
    drain.close()
    far.close()
    world.close(busy)
    world.close(near)
  }

  /// What completes while a turn is served belongs to the next one: a worker that submits as it serves comes round.
  @Test(arguments: KernelKind.allCases)
  func completionsOfSubmissionsBelongToTheNextTurn(kind: KernelKind) throws {
    let world = try World(kind)
    let (near, far) = try world.pair()
    far.write(pattern(10))
    var token = Token(rawValue: 1)
    world.kernel.submitReceive(near, expectsData: true, token: token)
    for round in 0..<4 {
      world.wait(until: .max)
      let completion = try #require(world.nextCompletion())
      #expect(completion.token == token)
      if let buffer = completion.buffer { world.kernel.recycle(buffer) }
      token = Token(rawValue: UInt64(round + 2))
      if round % 2 == 0 {
        world.kernel.submitSend(
          near, UnsafeRawBufferPointer(world.allocate(8)), mode: .immediate, token: token)
      } else {
        far.write([1])
        world.kernel.submitReceive(near, expectsData: true, token: token)
      }
      #expect(world.nextCompletion() == nil)
    }
    world.wait(until: .max)
    #expect(world.nextCompletion()?.token == token)
    far.close()
    world.close(near)
  }
}
