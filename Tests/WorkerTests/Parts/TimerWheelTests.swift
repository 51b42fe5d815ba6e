// Goal: timers fire in order, never early, at most two ticks late, whatever is set, cleared, and skipped over.
// Method: a wheel over a table of slots, by hand and against a model that is a plain list.

import Testing

@testable import ProxyCore

/// A wheel and its table, with a clock.
private final class Bench {
  static let tick: UInt64 = 1 << 20

  var table: ConnectionTable
  var wheel: TimerWheel
  var now: UInt64

  init(now: UInt64, slots: Int = 8) {
    self.now = now
    table = ConnectionTable(capacity: slots)
    wheel = TimerWheel(now: now)
    for _ in 0..<slots { _ = table.take() }
  }

  func set(_ slot: UInt32, after span: UInt64) { wheel.set(slot, deadline: now + span, in: table) }
  func set(_ slot: UInt32, at deadline: UInt64) { wheel.set(slot, deadline: deadline, in: table) }
  func clear(_ slot: UInt32) { wheel.clear(slot, in: table) }

  var nextDeadline: UInt64 { wheel.nextDeadline }

  /// Everything that has expired by `time`.
  func expire(at time: UInt64) -> [UInt32] {
    now = time
    var slots: [UInt32] = []
    while let slot = wheel.popExpired(now: now, in: table) { slots.append(slot) }
    return slots
  }
}

/// A generator that gives the same numbers on every run.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// All magnitudes are equally likely.
  mutating func span(bitsMax: UInt64) -> UInt64 {
    let bits = UInt64.random(in: 1..<bitsMax, using: &self)
    return UInt64.random(in: 0..<1 << bits, using: &self)
  }
}

@Suite struct TimerWheelTests {
  /// Spans on both sides of each level's border: 64ⁿ ticks.
  private static let spans: [UInt64] = (0..<6).flatMap { level -> [UInt64] in
    let border = UInt64(1) << UInt64(6 * level)
    return [border - 1, border, border + 1].map { $0 * Bench.tick }
  }

  @Test("Never early, at most two ticks late", arguments: [0, 12_345_678_901, 1 << 50])
  func accuracy(start: UInt64) {
    for span in Self.spans {
      let bench = Bench(now: start)
      bench.set(0, after: span)
      if span > 0 { #expect(bench.expire(at: start + span - 1).isEmpty, "early: \(span)") }
      #expect(bench.expire(at: start + span + 2 * Bench.tick) == [0], "late: \(span)")
      #expect(bench.nextDeadline == .max)
    }
  }

  @Test("A worker that sleeps until the next deadline each time wakes a few times only, and in time")
  func sleeping() {
    for span in Self.spans {
      let bench = Bench(now: 1 << 45)
      let deadline = bench.now + span
      bench.set(0, after: span)
      var wakes = 0
      while bench.nextDeadline != .max {
        let wake = max(bench.nextDeadline, bench.now)
        #expect(wake <= deadline + 2 * Bench.tick)
        _ = bench.expire(at: wake)
        wakes += 1
        guard wakes <= 7 else { break }
      }
      // Once for each level that the timer moves down, and once to fire.
      #expect(wakes <= 7, "span \(span)")
    }
  }

  @Test("An idle wheel has no deadline; one within 64 ticks is exact")
  func nextDeadline() {
    let bench = Bench(now: 0)
    #expect(bench.nextDeadline == .max)
    for ticks in UInt64(1)..<60 {
      bench.set(0, after: ticks * Bench.tick)
      #expect(bench.nextDeadline == (ticks + 1) * Bench.tick)
    }
    bench.clear(0)
    #expect(bench.nextDeadline == .max)
  }

  @Test("Timers fire by deadline")
  func order() {
    let bench = Bench(now: 777)
    let spans: [UInt64] = [5_000, 3, 70, 900, 4, 300_000, 60, 1]
    for (slot, span) in spans.enumerated() { bench.set(UInt32(slot), after: span * Bench.tick) }
    let fired = bench.expire(at: 777 + 400_000 * Bench.tick)
    #expect(fired == spans.indices.sorted { spans[$0] < spans[$1] }.map(UInt32.init))
  }

  @Test("Setting again replaces, clearing takes away, both as often as one likes")
  func rearming() {
    let bench = Bench(now: 0)
    bench.set(0, after: 10 * Bench.tick)
    bench.set(0, after: 10_000 * Bench.tick)
    #expect(bench.expire(at: 100 * Bench.tick).isEmpty)
    bench.set(0, after: 5 * Bench.tick)
    bench.set(1, after: 5 * Bench.tick)
    bench.clear(0)
    bench.clear(0)
    #expect(bench.expire(at: 110 * Bench.tick) == [1])
    bench.set(0, at: .max)
    #expect(bench.nextDeadline == .max)
  }

  @Test("First, middle and last of a bucket can be cleared")
  func clearing() {
    for cleared in UInt32(0)..<3 {
      for span in [UInt64(10), 1_000, 100_000] {
        let bench = Bench(now: 0)
        for slot in UInt32(0)..<3 { bench.set(slot, after: span * Bench.tick) }
        bench.clear(cleared)
        let fired = bench.expire(at: (span + 2) * Bench.tick)
        #expect(fired.sorted() == [0, 1, 2].filter { $0 != cleared })
      }
    }
  }

  @Test("A deadline that has passed fires at once")
  func past() {
    let bench = Bench(now: 1_000 * Bench.tick)
    bench.set(0, at: 3)
    #expect(bench.expire(at: bench.now).isEmpty)
    #expect(bench.nextDeadline == 1_001 * Bench.tick)
    #expect(bench.expire(at: 1_001 * Bench.tick) == [0])
  }

  /// A whole turn of the top level lies two years ahead. What is set beyond fires then, and never hangs the wheel.
  @Test("Deadlines of years and centuries", arguments: [63, 64, 65, 128, 5_000])
  func far(topBuckets: UInt64) {
    let bench = Bench(now: 987_654_321 * Bench.tick)
    let begin = bench.now
    bench.set(0, after: topBuckets << 50)
    bench.set(1, at: .max - 1)
    #expect(bench.expire(at: begin + 3_600_000_000_000).isEmpty)
    #expect(bench.expire(at: begin + 62 << 50).isEmpty)
    #expect(bench.expire(at: begin + 64 << 50).contains(0))
  }

  @Test("The clock may jump over everything at once")
  func jump() {
    let bench = Bench(now: 5, slots: 64)
    for slot in UInt32(0)..<64 { bench.set(slot, after: 1 << UInt64(slot % 40 + 10)) }
    #expect(Set(bench.expire(at: 1 << 60)).count == 64)
    bench.set(3, after: 2 * Bench.tick)
    #expect(bench.expire(at: bench.now + 4 * Bench.tick) == [3])
  }

  @Test("Ten thousand random timers against a model")
  func model() {
    var random = SplitMix(state: 42)
    let slots = 200
    let bench = Bench(now: 1 << 44, slots: slots)
    var model: [UInt32: UInt64] = [:]
    var armed = 0
    while armed < 10_000 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<6:
        let slot = UInt32.random(in: 0..<UInt32(slots), using: &random)
        let deadline = bench.now + random.span(bitsMax: 46)
        bench.set(slot, at: deadline)
        model[slot] = deadline
        armed += 1
      case 6:
        let slot = UInt32.random(in: 0..<UInt32(slots), using: &random)
        bench.clear(slot)
        model[slot] = nil
      default:
        let step = random.span(bitsMax: 44)
        let time = Bool.random(using: &random) ? bench.now + step : max(bench.now, min(bench.nextDeadline, 1 << 60))
        let fired = bench.expire(at: time)
        for slot in fired {
          let deadline = model.removeValue(forKey: slot)
          #expect(deadline.map { $0 <= time } == true, "slot \(slot) fired early")
        }
        let overdue = model.filter { $0.value + 2 * Bench.tick <= time }
        #expect(overdue.isEmpty)
        if let soonest = model.values.min() { #expect(bench.nextDeadline <= soonest + 2 * Bench.tick) }
      }
    }
    _ = bench.expire(at: bench.now + 1 << 50)
    #expect(bench.nextDeadline == .max)
  }
}
