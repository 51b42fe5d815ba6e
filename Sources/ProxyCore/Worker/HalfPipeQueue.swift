// Half-pipes that wait for their turn at something scarce: a shared buffer, or the time that a handshake costs. They
// are served in order, so that a shortage neither spins nor starves anyone for good.

/// A queue through `HalfPipe.nextInQueue`. A half-pipe in a queue keeps its receive marked as in flight, so that its
/// slot can't be freed before it is taken out, and it can't be in two queues.
struct HalfPipeQueue {
  private var first = HalfPipeQueue.none
  private var last = HalfPipeQueue.none

  private static var none: UInt32 { .max }

  var isEmpty: Bool { first == Self.none }

  mutating func append(_ slot: UInt32, _ direction: Direction, in table: borrowing ConnectionTable) {
    let entry = slot << 1 | UInt32(direction.rawValue)
    table[slot].pointee.inFlight.insert(.receive(direction))
    table[slot].half(direction).pointee.nextInQueue = Self.none
    if isEmpty {
      first = entry
    } else {
      table[last >> 1].half(Self.direction(last)).pointee.nextInQueue = entry
    }
    last = entry
  }

  mutating func popFirst(in table: borrowing ConnectionTable) -> (slot: UInt32, direction: Direction)? {
    guard !isEmpty else { return nil }
    let (slot, direction) = (first >> 1, Self.direction(first))
    first = table[slot].half(direction).pointee.nextInQueue
    table[slot].pointee.inFlight.remove(.receive(direction))
    return (slot, direction)
  }

  private static func direction(_ entry: UInt32) -> Direction { entry & 1 == 0 ? .toUpstream : .toDownstream }
}
