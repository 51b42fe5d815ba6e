// The pipes that spliced half-pipes borrow. Making one costs five system calls, so that a few empty ones are kept.

import IOUring

/// A worker's pipes.
struct PipePool: ~Copyable {
  /// Bytes of a pipe. From 64 KiB to 1 MiB the processor time per GiB of one iperf3 stream fell by a tenth up to 256 KiB
  /// and stayed there; more would only count against fs.pipe-user-pages-soft, which allows 256 of this size.
  static var capacity: Int { 262_144 }
  /// Below this, which is what an unprivileged user gets past fs.pipe-user-pages-soft, copying is faster.
  static var capacityMin: Int { 65_536 }

  private(set) var usedCount = 0
  private var idle: InlineArray<8, Pipe> = InlineArray(repeating: .none)
  private var idleCount = 0

  /// An empty pipe; nil when there are `limit` already, or the kernel grants none of a useful size.
  mutating func take(_ kernel: inout some Kernel & ~Copyable, limit: Int = .max) -> Pipe? {
    guard usedCount < limit else { return nil }
    if idleCount > 0 {
      idleCount -= 1
      usedCount += 1
      return idle[idleCount]
    }
    guard case .success(let pipe) = kernel.openPipe(capacity: Self.capacity) else { return nil }
    guard pipe.capacity >= Self.capacityMin else {
      Self.close(pipe, &kernel)
      return nil
    }
    usedCount += 1
    return pipe
  }

  /// Takes a pipe back. One that still holds bytes of a torn-down connection is closed, and its bytes with it.
  mutating func giveBack(_ pipe: Pipe, isEmpty: Bool, _ kernel: inout some Kernel & ~Copyable) {
    usedCount -= 1
    if isEmpty, idleCount < idle.count {
      idle[idleCount] = pipe
      idleCount += 1
    } else {
      Self.close(pipe, &kernel)
    }
  }

  /// Closes the idle pipes. Called once, when the worker ends.
  mutating func closeIdle(_ kernel: inout some Kernel & ~Copyable) {
    while idleCount > 0 {
      idleCount -= 1
      Self.close(idle[idleCount], &kernel)
    }
  }

  private static func close(_ pipe: Pipe, _ kernel: inout some Kernel & ~Copyable) {
    kernel.close(pipe.readEnd)
    kernel.close(pipe.writeEnd)
  }
}
