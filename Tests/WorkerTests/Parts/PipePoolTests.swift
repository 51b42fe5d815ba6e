// Goal: pipes are kept for the next bulk while they are empty, and never with bytes of another connection in them.
// Method: a scripted kernel.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct PipePoolTests {
  private static func pipe(_ number: Int32) -> Pipe {
    Pipe(
      readEnd: Descriptor(rawValue: 2 * number), writeEnd: Descriptor(rawValue: 2 * number + 1),
      capacity: PipePool.capacity)
  }

  private static func open(_ number: Int32) -> Step { .openPipe(PipePool.capacity, gives: pipe(number)) }
  private static func close(_ number: Int32) -> [Step] {
    [.close(pipe(number).readEnd), .close(pipe(number).writeEnd)]
  }

  @Test("Empty pipes are kept, eight of them; the rest is closed")
  func keeping() {
    let script = Script()
    var kernel = ScriptedKernel(script)
    var pool = PipePool()
    script.begin(completing: [], expecting: (0..<10).map(Self.open))
    let pipes = (0..<10).compactMap { _ in pool.take(&kernel) }
    #expect(script.end() == nil)
    #expect(pipes.count == 10)
    script.begin(completing: [], expecting: Self.close(8) + Self.close(9))
    for pipe in pipes { pool.giveBack(pipe, isEmpty: true, &kernel) }
    #expect(script.end() == nil)
    script.begin(completing: [], expecting: [])
    let again = pool.take(&kernel)
    #expect(script.end() == nil)
    #expect(again?.readEnd == pipes[7].readEnd)
    let used = pool.usedCount
    #expect(used == 1)
    script.begin(completing: [], expecting: (0..<7).reversed().flatMap { Self.close($0) })
    pool.closeIdle(&kernel)
    #expect(script.end() == nil)
  }

  @Test("A pipe with bytes in it is closed")
  func withBytes() {
    let script = Script()
    var kernel = ScriptedKernel(script)
    var pool = PipePool()
    script.begin(completing: [], expecting: [Self.open(1)] + Self.close(1) + [Self.open(2)])
    let pipe = pool.take(&kernel)
    pool.giveBack(pipe!, isEmpty: false, &kernel)
    _ = pool.take(&kernel)
    #expect(script.end() == nil)
  }

  @Test("No more than the limit on open files has room for")
  func limited() {
    let script = Script()
    var kernel = ScriptedKernel(script)
    var pool = PipePool()
    script.begin(completing: [], expecting: [Self.open(1)])
    let pipe = pool.take(&kernel, limit: 1)
    let second = pool.take(&kernel, limit: 1)
    #expect(second == nil)
    pool.giveBack(pipe!, isEmpty: true, &kernel)
    let again = pool.take(&kernel, limit: 1)
    #expect(again == pipe)
    #expect(script.end() == nil)
  }

  @Test("A refusal, and a pipe too small to be of use, leave nothing behind")
  func refused() {
    let script = Script()
    var kernel = ScriptedKernel(script)
    var pool = PipePool()
    var small = Self.pipe(1)
    small.capacity = PipePool.capacityMin - 1
    script.begin(
      completing: [],
      expecting: [.openPipe(PipePool.capacity, fails: EMFILE), .openPipe(PipePool.capacity, gives: small)]
        + Self.close(1))
    let first = pool.take(&kernel)
    let second = pool.take(&kernel)
    #expect(first == nil)
    #expect(second == nil)
    #expect(script.end() == nil)
    let used = pool.usedCount
    #expect(used == 0)
  }
}

extension Pipe: Equatable {
  public static func == (left: Pipe, right: Pipe) -> Bool {
    left.readEnd == right.readEnd && left.writeEnd == right.writeEnd
  }
}
