// The slab of a worker's connections. Slots don't move, and memory becomes resident only as slots are first used.

import Glibc

/// Connection slots by number.
struct ConnectionTable: ~Copyable {
  let capacity: Int
  private(set) var usedCount = 0
  private let slots: UnsafeMutablePointer<Connection>
  /// Slots below were used before; those above are untouched memory.
  private(set) var highWater: UInt32 = 0
  /// Last freed, first reused: it is the warmest in the cache.
  private var firstFree: UInt32 = ConnectionTable.none

  static var none: UInt32 { .max }

  /// Reserves address space for `capacity` connections.
  init(capacity: Int) {
    self.capacity = capacity
    slots = .mapped(capacity: capacity)
  }

  deinit { slots.unmap(capacity: capacity) }

  /// The slot may be free; see `Connection.phase`.
  @inline(__always)
  subscript(slot: UInt32) -> UnsafeMutablePointer<Connection> { slots + Int(slot) }

  /// Whether a slot was ever used: tokens of a broken kernel must not lead into untouched memory.
  @inline(__always)
  func contains(_ slot: UInt32) -> Bool { slot < highWater }

  /// A free slot; nil when all are taken. Its generation is set, all else is the caller's to initialize.
  mutating func take() -> UInt32? {
    let slot: UInt32
    if firstFree != Self.none {
      slot = firstFree
      firstFree = self[slot].pointee.nextFree
    } else {
      guard Int(highWater) < capacity else { return nil }
      slot = highWater
      highWater &+= 1
      self[slot].pointee.generation = 0
    }
    usedCount += 1
    return slot
  }

  /// Takes a slot back. Nothing of it is in flight.
  mutating func free(_ slot: UInt32) {
    let connection = self[slot]
    precondition(connection.pointee.inFlight.isEmpty, "slot \(slot) is freed with operations in flight")
    connection.pointee.phase = .free
    connection.pointee.generation &+= 1
    connection.pointee.nextFree = firstFree
    firstFree = slot
    usedCount -= 1
  }
}

extension UnsafeMutablePointer {
  /// Zeroed memory for `capacity` values, resident only where it is touched. mmap(2).
  static func mapped(capacity: Int) -> Self {
    let bytes = capacity * MemoryLayout<Pointee>.stride
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      fatalError("no address space for \(bytes) bytes: \(String(cString: strerror(errno)))")
    }
    return memory.bindMemory(to: Pointee.self, capacity: capacity)
  }

  func unmap(capacity: Int) { munmap(self, capacity * MemoryLayout<Pointee>.stride) }
}
