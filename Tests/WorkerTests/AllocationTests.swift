// Goal: a relayed message costs no heap allocation and no reference counting. Method: a worker on a real ring and a pair
// of loopback connections through it, all on this thread; after a warm-up, the thread's counters (CAllocationCounter)
// are read around a thousand messages each way. A control shows that the counters count.
//
// Without optimisation the compiler emits releases of nothing (swift_release of a null reference), which count like any
// other: a debug build is held to no allocations and no retains.

import CAllocationCounter
import Glibc
import Testing

@testable import ProxyCore

@Suite struct AllocationTests {
  /// Without this, zero would prove nothing.
  @Test func countersCount() throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let before = allocation_counter_read()
    Box.kept = Box(Int(getpid()))
    Box.kept = nil
    let after = allocation_counter_read()
    #expect(after.allocations >= before.allocations + 1)
    #expect(after.deallocations >= before.deallocations + 1)
    #expect(after.releases > before.releases)
  }

  @Test("Small messages", arguments: [1, 64, 4_096])
  func messages(size: Int) throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let bench = try LoopbackBench()
    let bytes = [UInt8](repeating: 7, count: size)
    _ = bench.pingPong(bytes, rounds: 100)
    expectNothing(bench.pingPong(bytes, rounds: 1_000))
  }

  /// Larger than what a socket takes at once: short sends, private chunks, and splicing through a pooled pipe.
  @Test func bulk() throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let bench = try LoopbackBench()
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    _ = bench.pingPong(bytes, rounds: 4)
    expectNothing(bench.pingPong(bytes, rounds: 16))
    #expect(bench.splicedBytes > 0, "the bulk path was not taken")
  }

  /// libssl has handed over after the first message each way; libcrypto needs no memory for a record.
  @Test("Small and large messages over mutual TLS", arguments: [1, 4_096, 200_000])
  func sealed(size: Int) throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let bench = try LoopbackBench(identities: ScriptedIdentities())
    let bytes = [UInt8](repeating: 7, count: size)
    _ = bench.pingPong(bytes, rounds: 20)
    expectNothing(bench.pingPong(bytes, rounds: 200))
  }

  private func expectNothing(_ counts: allocation_counts) {
    #expect(counts.allocations == 0)
    #expect(counts.deallocations == 0)
    #expect(counts.retains == 0)
    #if !DEBUG
      #expect(counts.releases == 0)
    #endif
  }
}

private final class Box {
  /// Out of the optimiser's sight, so that it can't do without the allocation. One test uses it.
  nonisolated(unsafe) static var kept: Box?

  let number: Int
  init(_ number: Int) { self.number = number }
}
