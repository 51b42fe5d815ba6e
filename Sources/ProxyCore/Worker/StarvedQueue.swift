// Half-pipes whose receive found no provided buffer. They wait in order and are fed as buffers come back, so that a
// shortage neither spins nor starves anyone for good.

/// A queue through `HalfPipe.nextStarved`. A half-pipe in the queue keeps its receive marked as in flight, so that its
/// slot can't be freed before it is taken out.
struct StarvedQueue {
  private var first = StarvedQueue.none
  private var last = StarvedQueue.none

  private static var none: UInt32 { .max }

  var isEmpty: Bool { first == Self.none }

  mutating func append(_ slot: UInt32, _ direction: Direction, in table: borrowing ConnectionTable) {
    let entry = slot << 1 | UInt32(direction.rawValue)
    table[slot].half(direction).pointee.nextStarved = Self.none
    if isEmpty {
      first = entry
    } else {
      table[last >> 1].half(Self.direction(last)).pointee.nextStarved = entry
    }
    last = entry
  }

  mutating func popFirst(in table: borrowing ConnectionTable) -> (slot: UInt32, direction: Direction)? {
    guard !isEmpty else { return nil }
    let entry = first
    let direction = Self.direction(entry)
    first = table[entry >> 1].half(direction).pointee.nextStarved
    return (entry >> 1, direction)
  }

  private static func direction(_ entry: UInt32) -> Direction { entry & 1 == 0 ? .toUpstream : .toDownstream }
}
