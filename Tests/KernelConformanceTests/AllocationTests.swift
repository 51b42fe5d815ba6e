// Goal: relaying a message costs no heap allocation and no reference counting in the kernel, on any implementation
// that runs on a host.
// Method: a ping-pong, warmed up, between two readings of this thread's counters (CAllocationCounter), through a
// generic function as the worker's loop is one. A control shows that the counters count.

import CAllocationCounter
import Glibc
import IOUring
import Testing

@Suite struct AllocationTests {
  /// Without this, zero would prove nothing.
  @Test func countersCount() throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let before = allocation_counter_read()
    let object = BoxedNumber(Int(getpid()))
    let other = object
    withExtendedLifetime((object, other)) {}
    let memory = malloc(64)
    free(memory)
    let after = allocation_counter_read()
    #expect(after.allocations >= before.allocations + 2)
    #expect(after.deallocations >= before.deallocations + 1)
    #expect(after.releases > before.releases)
  }

  @Test(arguments: KernelKind.onHost)
  func relayingAllocatesNothing(kind: KernelKind) throws {
    try #require(allocation_counter_is_active(), "the hooks are compiled out: this build can't count")
    let world = try World(kind)
    let (near, peer) = try world.pair()
    let far = try #require(peer as? HostPeer)
    _ = AllocationTests.pingPong(&world.kernel, near, far, rounds: 100)
    let counts = AllocationTests.pingPong(&world.kernel, near, far, rounds: 1_000)
    #expect(counts.allocations == 0)
    #expect(counts.deallocations == 0)
    #expect(counts.retains == 0)
    #expect(counts.releases == 0)
    far.close()
    world.close(near)
  }

  /// Echoes a message `rounds` times with each kind of operation that traffic consists of, and counts.
  private static func pingPong<K: Kernel & ~Copyable>(
    _ kernel: inout K, _ near: Descriptor, _ far: HostPeer, rounds: Int
  ) -> allocation_counts {
    var message: (UInt64, UInt64) = (1, 2)
    let receive = Token(rawValue: 1)
    let send = Token(rawValue: 2)
    let poll = Token(rawValue: 3)
    let before = allocation_counter_read()
    for round in 0..<rounds {
      kernel.submitReceive(near, expectsData: round % 2 == 0, token: receive)
      kernel.submitPoll(near, for: .hangUp, token: poll)
      kernel.wait(until: kernel.now)
      while kernel.nextCompletion() != nil {}
      _ = Glibc.send(far.descriptor, &message, 16, 0)
      var pending = 2
      while pending > 0 {
        kernel.wait(until: .max)
        while let completion = kernel.nextCompletion() {
          if let buffer = completion.buffer {
            let bytes = UnsafeRawBufferPointer(start: kernel.receiveBuffer(buffer), count: Int(completion.result))
            kernel.submitSend(near, bytes, mode: round % 3 == 0 ? .complete : .immediate, token: send)
            kernel.submitCancel(poll, on: near)
            kernel.recycle(buffer)
          } else {
            pending -= 1
          }
        }
      }
      _ = recv(far.descriptor, &message, 16, 0)
    }
    let after = allocation_counter_read()
    return allocation_counts(
      allocations: after.allocations - before.allocations,
      deallocations: after.deallocations - before.deallocations,
      retains: after.retains - before.retains, releases: after.releases - before.releases)
  }
}

private final class BoxedNumber {
  let number: Int

  init(_ number: Int) { self.number = number }
}
