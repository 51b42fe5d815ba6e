// Goal: what only a ring can get wrong: full queues, indexes that wrap, completions that nobody waits for.
// Method: a ring with the smallest queues, driven through them many times over.

import CIOUring
import Glibc
import TestSupport
import Testing

@testable import IOUring

@Suite struct RingTests {
  private func makeRing(submissionEntries: UInt32 = 4, completionEntries: UInt32 = 8) throws -> Ring {
    var options = RingOptions()
    options.submissionEntries = submissionEntries
    options.completionEntries = completionEntries
    options.receiveBufferSize = 4_096
    options.receiveBufferCount = 2
    var ring = try Ring(options: options)
    try ring.enable()
    return ring
  }

  private func makePair() throws -> (Descriptor, Descriptor) {
    var ends: [Int32] = [0, 0]
    try #require(
      socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
    return (Descriptor(rawValue: ends[0]), Descriptor(rawValue: ends[1]))
  }

  /// The next completion is one byte.
  private func takeByte(_ ring: inout Ring, token: UInt64 = 1) throws {
    let next = ring.nextCompletion()
    let completion = try #require(next)
    #expect(completion.token.rawValue == token && completion.result == 1)
    ring.recycle(try #require(completion.buffer))
  }

  private func expectNothing(_ ring: inout Ring) {
    let completion = ring.nextCompletion()
    #expect(completion == nil)
  }

  private func state(of socket: Descriptor, in ring: borrowing Ring) throws -> UnsafeMutablePointer<SocketState> {
    let state = ring.sockets.pointer(to: socket.rawValue)
    return try #require(state)
  }

  /// A pair whose first socket has a number that nothing else in this process gets.
  private func makeNumberedPair() throws -> (Descriptor, Descriptor) {
    try raiseDescriptorLimit(toAtLeast: 17_100)
    let (near, far) = try makePair()
    let lowest: Int32 = 17_000
    let moved = fcntl(near.rawValue, F_DUPFD_CLOEXEC, lowest)
    close(near.rawValue)
    try #require(moved == lowest)
    return (Descriptor(rawValue: moved), far)
  }

  /// More submissions than the queue holds, and more completions than theirs, in one turn: none is lost.
  @Test func fullQueuesLoseNothing() throws {
    var ring = try makeRing()
    let byte = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { byte.deallocate() }
    let (near, far) = try makePair()
    for token in 1...200 as ClosedRange<UInt64> {
      ring.submitSend(near, UnsafeRawBufferPointer(byte), mode: .immediate, token: Token(rawValue: token))
    }
    var completed: Set<UInt64> = []
    while completed.count < 200 {
      ring.wait(until: .max)
      while let completion = ring.nextCompletion() {
        #expect(completion.result == 1)
        #expect(completed.insert(completion.token.rawValue).inserted)
      }
    }
    #expect(completed == Set(1...200))
    for descriptor in [near, far] { ring.close(descriptor) }
  }

  /// A ring works past the process's system-call filter: what the worker doesn't submit is refused by the ring itself.
  @Test func otherOperationsAreRefused() throws {
    var ring = try makeRing()
    let path = strdup("/etc/hosts")
    defer { free(path) }
    let submissions: [(UnsafeMutablePointer<io_uring_sqe>) -> Void] = [
      { io_uring_prep_openat($0, AT_FDCWD, path, O_RDONLY, 0) },
      { io_uring_prep_unlinkat($0, AT_FDCWD, path, 0) },
      { io_uring_prep_write($0, 1, path, 1, 0) },
      { io_uring_prep_socket($0, AF_INET, Int32(SOCK_STREAM.rawValue), 0, 0) },
    ]
    for (index, prepare) in submissions.enumerated() {
      let entry = ring.submissionEntry()
      prepare(entry)
      entry.pointee.user_data = UInt64(index + 1)
      ring.wait(until: .max)
      let completion = ring.nextCompletion()
      #expect(completion?.token.rawValue == UInt64(index + 1))
      #expect(completion?.result == -EACCES)
    }
    var buffer = iovec()
    #expect(io_uring_register_buffers(ring.ring, &buffer, 1) == -EACCES)
  }

  /// Queue indexes are 32-bit counters that wrap; starting them just below the wrap, traffic goes on across it.
  @Test func completionIndexesWrap() throws {
    var ring = try makeRing()
    let start = UInt32.max - 20
    // No operation has run yet: kernel and user space agree on any start.
    ring.ring.pointee.cq.khead.pointee = start
    ring.ring.pointee.cq.ktail.pointee = start
    ring.completionHead = start
    ring.completionTail = start
    // The kernel keeps a tail of its own, so that the wrap is played on our side of the queue alone: entries are
    // put there as the kernel would.
    for token in 1...100 as ClosedRange<UInt64> {
      let tail = ring.ring.pointee.cq.ktail.pointee
      let mask = ring.ring.pointee.cq.ring_mask
      ring.ring.pointee.cq.cqes[Int(tail & mask)] = io_uring_cqe.with(token: token, result: Int32(token))
      ring.ring.pointee.cq.ktail.pointee = tail &+ 1
      ring.completionTail = tail &+ 1
      let completion = ring.nextCompletion()
      #expect(completion?.token.rawValue == token && completion?.result == Int32(token))
      expectNothing(&ring)
      #expect(ring.ring.pointee.cq.khead.pointee == tail &+ 1)
    }
  }

  /// More sockets have bytes at once than the completion queue has room for: the kernel ends watches, and they are armed
  /// again.
  @Test func watchesThatOverflowGoOn() throws {
    var ring = try makeRing()
    let pairs = try (0..<40).map { _ in try makePair() }
    var waiting: Set<Int> = []
    for round in 0..<50 {
      for index in pairs.indices where waiting.insert(index).inserted {
        ring.submitReceive(pairs[index].0, expectsData: false, token: Token(rawValue: UInt64(index + 1)))
      }
      // Watches are armed before the bytes come.
      ring.wait(until: 0)
      var byte = UInt8(truncatingIfNeeded: round)
      for pair in pairs { send(pair.1.rawValue, &byte, 1, 0) }
      let deadline = ring.now + 20_000_000_000
      while !waiting.isEmpty, ring.now < deadline {
        ring.wait(until: deadline)
        while let completion = ring.nextCompletion() {
          #expect(completion.result == 1)
          #expect(waiting.remove(Int(completion.token.rawValue) - 1) != nil)
          let buffer = try #require(completion.buffer)
          let received = ring.receiveBuffer(buffer).load(as: UInt8.self)
          #expect(received == byte)
          ring.recycle(buffer)
        }
      }
      #expect(waiting.isEmpty, "round \(round)")
    }
    for pair in pairs {
      ring.close(pair.0)
      ring.close(pair.1)
    }
  }

  /// Bytes that go another way, by splice(2) for instance, stop being announced; the next receive finds what is there.
  @Test func watchIsTakenOffWhereNobodyReceives() throws {
    var ring = try makeRing(submissionEntries: 64, completionEntries: 128)
    let (near, far) = try makePair()
    var byte: UInt8 = 7
    ring.submitReceive(near, expectsData: false, token: Token(rawValue: 1))
    ring.wait(until: 0)
    send(far.rawValue, &byte, 1, 0)
    ring.wait(until: .max)
    try takeByte(&ring)
    let state = try state(of: near, in: ring)
    #expect(state.pointee.watch == .armed)
    var arrivals = 0
    while state.pointee.watch != .none, arrivals < 100 {
      send(far.rawValue, &byte, 1, 0)
      arrivals += 1
      ring.wait(until: 0)
      expectNothing(&ring)
    }
    #expect(state.pointee.watch == .none)
    ring.submitReceive(near, expectsData: false, token: Token(rawValue: 2))
    ring.wait(until: .max)
    let rest = ring.nextCompletion()
    #expect(rest?.result == Int32(arrivals) && state.pointee.watch == .armed)
    for descriptor in [near, far] { ring.close(descriptor) }
  }

  /// A message at a time costs one recv(2) and no submission: the watch stays, and a short receive is known to have taken all.
  @Test func aMessageIsTakenWithOneCall() throws {
    var ring = try makeRing(submissionEntries: 64, completionEntries: 128)
    let (near, far) = try makePair()
    var byte: UInt8 = 7
    for round in 0..<100 {
      ring.submitReceive(near, expectsData: false, token: Token(rawValue: 1))
      let submitted = io_uring_sq_ready(ring.ring)
      #expect(submitted == (round == 0 ? 1 : 0))
      ring.wait(until: 0)
      send(far.rawValue, &byte, 1, 0)
      ring.wait(until: .max)
      try takeByte(&ring)
      let contents = try state(of: near, in: ring).pointee.contents
      #expect(contents == .drained)
    }
    for descriptor in [near, far] { ring.close(descriptor) }
  }

  /// What was announced of a closed socket is not taken for the next owner of its number.
  @Test func announcementsOfAnEarlierOwnerAreDropped() throws {
    var ring = try makeRing(submissionEntries: 64, completionEntries: 128)
    var byte: UInt8 = 7
    for _ in 0..<20 {
      let (near, far) = try makeNumberedPair()
      ring.submitReceive(near, expectsData: false, token: Token(rawValue: 1))
      ring.wait(until: 0)
      send(far.rawValue, &byte, 1, 0)
      ring.wait(until: .max)
      try takeByte(&ring)
      // Announced, and not looked at before the number has another owner.
      send(far.rawValue, &byte, 1, 0)
      ring.wait(until: 0)
      ring.close(near)
      let (next, other) = try makeNumberedPair()
      #expect(next == near)
      ring.submitReceive(next, expectsData: false, token: Token(rawValue: 2))
      expectNothing(&ring)
      ring.wait(until: 0)
      expectNothing(&ring)
      send(other.rawValue, &byte, 1, 0)
      ring.wait(until: .max)
      try takeByte(&ring, token: 2)
      for descriptor in [next, other, far] { ring.close(descriptor) }
      ring.wait(until: 0)
      expectNothing(&ring)
    }
  }

  /// A cancellation that finds nothing reports its failure to nobody, and does not end up as a completion.
  @Test func failedCancellationIsNotACompletion() throws {
    var ring = try makeRing()
    for token in 1...50 as ClosedRange<UInt64> { ring.submitCancel(Token(rawValue: token), on: .none) }
    for _ in 0..<10 {
      ring.wait(until: 0)
      expectNothing(&ring)
    }
  }

  /// A send that came short ends a wait without a deadline, with nothing else in flight.
  @Test func shortSendEndsTheWait() throws {
    var ring = try makeRing()
    let (near, far) = try makePair()
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 22, alignment: 8)
    defer { bytes.deallocate() }
    var results: [Int32] = []
    for token in 1...2 as ClosedRange<UInt64> {
      ring.submitSend(near, UnsafeRawBufferPointer(bytes), mode: .immediate, token: Token(rawValue: token))
      ring.wait(until: .max)
      while let completion = ring.nextCompletion() { results.append(completion.result) }
    }
    #expect(results.count == 2 && results[0] > 0 && results[0] < 1 << 22 && results[1] == -EAGAIN)
    ring.close(near)
    ring.close(far)
  }

  /// A ring gives its descriptor and memory back, with operations in flight too.
  @Test func ringEndsWithOperationsInFlight() throws {
    let (near, far) = try makePair()
    for _ in 0..<50 {
      var ring = try makeRing()
      ring.submitReceive(near, expectsData: false, token: Token(rawValue: 1))
      ring.wait(until: 0)
    }
    close(near.rawValue)
    close(far.rawValue)
  }
}

extension io_uring_cqe {
  /// The imported initialiser can't be used: the struct ends in a flexible array.
  fileprivate static func with(token: UInt64, result: Int32) -> io_uring_cqe {
    var entry = io_uring_cqe()
    entry.user_data = token
    entry.res = result
    return entry
  }
}
