// Goal: what only a ring can get wrong: full queues, indexes that wrap, completions that nobody waits for.
// Method: a ring with the smallest queues, driven through them many times over.

import CIOUring
import Glibc
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
      #expect(ring.nextCompletion() == nil)
      #expect(ring.ring.pointee.cq.khead.pointee == tail &+ 1)
    }
  }

  /// Buffers go round the buffer ring far more often than its 16-bit tail can count.
  @Test func bufferRingTailWraps() throws {
    var ring = try makeRing(submissionEntries: 64, completionEntries: 128)
    let (near, far) = try makePair()
    for round in 0..<70_000 {
      var byte = UInt8(truncatingIfNeeded: round)
      send(far.rawValue, &byte, 1, 0)
      ring.submitReceive(near, expectsData: true, token: Token(rawValue: 1))
      ring.wait(until: .max)
      guard let completion = ring.nextCompletion(), let buffer = completion.buffer else {
        Issue.record("round \(round) brought no buffer")
        return
      }
      if ring.receiveBuffer(buffer).load(as: UInt8.self) != byte { Issue.record("round \(round) brought a wrong byte") }
      ring.recycle(buffer)
    }
    ring.close(near)
    ring.close(far)
  }

  /// A cancellation that finds nothing reports its failure to nobody, and does not end up as a completion.
  @Test func failedCancellationIsNotACompletion() throws {
    var ring = try makeRing()
    for token in 1...50 as ClosedRange<UInt64> { ring.submitCancel(Token(rawValue: token), on: .none) }
    for _ in 0..<10 {
      ring.wait(until: 0)
      #expect(ring.nextCompletion() == nil)
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
