// A worker's timers: one per connection slot, in a hierarchical timing wheel (Varghese and Lauck, 1987). Setting and
// clearing are O(1); an idle wheel knows its next deadline, so that an idle worker sleeps.

/// A slot's place in the wheel; part of `Connection`.
struct TimerNode {
  /// The tick at which it fires; 0 when it is not set.
  var tick: UInt64 = 0
  var next: UInt32 = ConnectionTable.none
  var previous: UInt32 = ConnectionTable.none

  var isSet: Bool { tick != 0 }
}

/// Six levels of 64 buckets. A tick is 2²⁰ ns, about 1 ms; level n's buckets span 64ⁿ ticks. Timers never fire early
/// and at most two ticks late.
struct TimerWheel: ~Copyable {
  private static var levels: Int { 6 }
  private static var tickShift: UInt64 { 20 }
  /// Two years in ticks: what lies further away is as good as never. One bucket less than a whole turn of the top level,
  /// so that a timer never lands in the bucket of the present, which would be taken for due.
  private static var ticksMax: UInt64 { 63 << 30 }

  /// First slot of each bucket, `levels × 64`.
  private let buckets: UnsafeMutablePointer<UInt32>
  /// For each level, a bit for each bucket that is not empty.
  private let occupied: UnsafeMutablePointer<UInt64>
  /// All timers up to this tick have fired.
  private var elapsed: UInt64

  init(now: UInt64) {
    buckets = .allocate(capacity: Self.levels * 64)
    buckets.initialize(repeating: ConnectionTable.none, count: Self.levels * 64)
    occupied = .allocate(capacity: Self.levels)
    occupied.initialize(repeating: 0, count: Self.levels)
    elapsed = now >> Self.tickShift
  }

  deinit {
    buckets.deallocate()
    occupied.deallocate()
  }

  /// Sets the slot's timer, in place of an earlier one. `deadline` is in monotonic nanoseconds; `.max` clears it.
  mutating func set(_ slot: UInt32, deadline: UInt64, in table: borrowing ConnectionTable) {
    clear(slot, in: table)
    guard deadline != .max else { return }
    let tick = min(max(deadline >> Self.tickShift &+ 1, elapsed &+ 1), elapsed &+ Self.ticksMax)
    insert(slot, tick: tick, in: table)
  }

  mutating func clear(_ slot: UInt32, in table: borrowing ConnectionTable) {
    let node = table[slot].pointee.timer
    guard node.isSet else { return }
    if node.previous != ConnectionTable.none {
      table[node.previous].pointee.timer.next = node.next
    } else {
      // The first of its bucket. A timer's level follows from the tick and from how far time had come when it was
      // inserted or last moved down, so the bucket is found by its head.
      let bucket = bucket(headedBy: slot, tick: node.tick)
      buckets[bucket] = node.next
      if node.next == ConnectionTable.none { occupied[bucket >> 6] &= ~(1 << UInt64(bucket & 63)) }
    }
    if node.next != ConnectionTable.none { table[node.next].pointee.timer.previous = node.previous }
    table[slot].pointee.timer = TimerNode()
  }

  /// When `popExpired` should be asked next, in monotonic nanoseconds; `.max` when no timer is set.
  var nextDeadline: UInt64 {
    guard let (_, tick) = nextBucket() else { return .max }
    return tick << Self.tickShift
  }

  /// Takes one timer out whose time has come; nil when there is none left.
  mutating func popExpired(now: UInt64, in table: borrowing ConnectionTable) -> UInt32? {
    let nowTick = now >> Self.tickShift
    while let (bucket, tick) = nextBucket(), tick <= nowTick {
      elapsed = max(elapsed, tick)
      let slot = buckets[bucket]
      if table[slot].pointee.timer.tick <= elapsed {
        clear(slot, in: table)
        return slot
      }
      moveDown(bucket, in: table)
    }
    elapsed = max(elapsed, nowTick)
    return nil
  }

  /// Spreads a bucket of a higher level over the lower ones.
  private mutating func moveDown(_ bucket: Int, in table: borrowing ConnectionTable) {
    var slot = buckets[bucket]
    buckets[bucket] = ConnectionTable.none
    occupied[bucket >> 6] &= ~(1 << UInt64(bucket & 63))
    while slot != ConnectionTable.none {
      let node = table[slot].pointee.timer
      insert(slot, tick: max(node.tick, elapsed), in: table)
      slot = node.next
    }
  }

  private mutating func insert(_ slot: UInt32, tick: UInt64, in table: borrowing ConnectionTable) {
    let bucket = bucket(for: tick)
    let head = buckets[bucket]
    table[slot].pointee.timer = TimerNode(tick: tick, next: head, previous: ConnectionTable.none)
    if head != ConnectionTable.none { table[head].pointee.timer.previous = slot }
    buckets[bucket] = slot
    occupied[bucket >> 6] |= 1 << UInt64(bucket & 63)
  }

  /// The level is the highest 6-bit digit in which the tick differs from the present.
  private func bucket(for tick: UInt64) -> Int {
    let level = (63 - ((elapsed ^ tick) | 63).leadingZeroBitCount) / 6
    return Self.index(level: min(level, Self.levels - 1), tick: tick)
  }

  private static func index(level: Int, tick: UInt64) -> Int {
    level << 6 | Int(tick >> UInt64(level * 6) & 63)
  }

  private func bucket(headedBy slot: UInt32, tick: UInt64) -> Int {
    for level in 0..<Self.levels {
      let bucket = Self.index(level: level, tick: tick)
      if buckets[bucket] == slot { return bucket }
    }
    preconditionFailure("the timer of slot \(slot) is in no bucket")
  }

  /// The first bucket that comes due and the tick at which it does.
  private func nextBucket() -> (bucket: Int, tick: UInt64)? {
    for level in 0..<Self.levels where occupied[level] != 0 {
      let shift = UInt64(level * 6)
      let current = elapsed >> shift & 63
      let bits = occupied[level]
      let rotated = bits >> current | bits << ((64 - current) & 63)
      let digit = (current + UInt64(rotated.trailingZeroBitCount)) & 63
      let levelSpan: UInt64 = 1 << (shift + 6)
      var tick = elapsed & ~(levelSpan - 1) | digit << shift
      // Only the top level wraps around; elsewhere a digit below the present one can't be occupied.
      if digit < current { tick &+= levelSpan }
      return (level << 6 | Int(digit), tick)
    }
    return nil
  }
}
