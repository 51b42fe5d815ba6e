// Goal: slots are reused warm, each use under a new generation, and a connection stays small. Method: the table alone.

import Testing

@testable import ProxyCore

@Suite struct ConnectionTableTests {
  @Test("A slot's generation changes with each use")
  func generations() throws {
    let table = Table(capacity: 4)
    let slot = try #require(table.take())
    let first = table.generation(of: slot)
    table.free(slot)
    #expect(table.take() == slot)
    #expect(table.generation(of: slot) == first + 1)
  }

  @Test("The slot that was freed last is taken first")
  func lastInFirstOut() {
    let table = Table(capacity: 4)
    let slots = (0..<4).compactMap { _ in table.take() }
    #expect(slots == [0, 1, 2, 3])
    table.free(1)
    table.free(3)
    #expect(table.take() == 3)
    #expect(table.take() == 1)
  }

  @Test("A full table says so; what was never used is not contained")
  func capacity() {
    let table = Table(capacity: 2)
    #expect(!table.contains(0))
    _ = table.take()
    #expect(table.contains(0))
    #expect(!table.contains(1))
    _ = table.take()
    #expect(table.take() == nil)
    #expect(table.usedCount == 2)
    table.free(0)
    #expect(table.usedCount == 1)
    #expect(table.contains(0))
    #expect(!table.contains(.max))
  }

  /// 2,000 idle connections have 1 KiB each, of which the kernel's own structures take no part.
  @Test("A connection fits half a kibibyte")
  func size() {
    #expect(MemoryLayout<Connection>.stride <= 512)
  }
}

/// The table behind a reference, so that `#expect` can look at it.
private final class Table {
  private var table: ConnectionTable

  init(capacity: Int) { table = ConnectionTable(capacity: capacity) }

  func take() -> UInt32? {
    guard let slot = table.take() else { return nil }
    table[slot].initialize(
      to: Connection(
        generation: table[slot].pointee.generation, listener: ListenerID(rawValue: 0), downstream: .none,
        downstreamAddress: nil, now: 0))
    return slot
  }

  func free(_ slot: UInt32) { table.free(slot) }
  func contains(_ slot: UInt32) -> Bool { table.contains(slot) }
  func generation(of slot: UInt32) -> UInt32 { table[slot].pointee.generation }
  var usedCount: Int { table.usedCount }
}
