// Time: what happens while the worker waits. The network delivers, actors act, the clock moves on, and what has become
// possible completes, in an order that chance decides.

import Glibc
import IOUring

extension SimulatedWorld {
  /// A turn does so many things at the most while completions are at hand.
  private static let stepsPerTurnMax = 12

  /// Carries out what was submitted, and lets the world go on until something completes or `deadline` is reached.
  func wait(until deadline: UInt64) {
    isSilent = false
    carryOutSubmissions()
    for _ in 0..<random.below(Self.stepsPerTurnMax) {
      guard step() else { break }
    }
    carryOnOperations()
    checkHostEvents()
    let mayWait = deadline > shownClock
    while arisen.isEmpty, mayWait {
      if step() {
        carryOnOperations()
        continue
      }
      carryOnOperations()
      guard arisen.isEmpty, changedDescriptors.isEmpty else { continue }
      let next = nextWake()
      guard min(next, deadline) != .max else {
        // An actor may have written to one since the turn began.
        checkHostEvents()
        if !arisen.isEmpty { break }
        isSilent = true
        break
      }
      clock = max(clock, min(next, deadline))
      if next > deadline { break }
      wakeSleepers()
      carryOnOperations()
    }
    jumpClock()
    shownClock = clock
    beginTurn()
    trace("turn", turn.count, Int(clock / 1_000))
  }

  /// Lets everything that is on its way arrive, and everybody act who has a reason to. For after the worker's end.
  public func settle() {
    while step() {}
  }

  /// Time goes by while the worker computes.
  func readClock() {
    clock += UInt64(1 + random.below(300_000))
    shownClock = clock
  }

  // MARK: Steps

  /// One thing that can happen now happens.
  /// - Returns: false when nothing can.
  private func step() -> Bool {
    clock += UInt64(1 + random.below(20_000))
    wakeSleepers()
    let choices = streamsInTransit.count + runnable.count
    guard choices > 0 else { return false }
    let choice = random.below(choices)
    if choice < streamsInTransit.count {
      deliver(streamsInTransit.remove(at: choice))
    } else {
      let actor = runnable.remove(at: choice - streamsInTransit.count)
      let next = actor.act()
      if next <= clock { wake(actor) } else if next != .max { sleep(actor, until: next) }
    }
    return true
  }

  /// Something is on its way to a stream.
  func sent(to stream: SimulatedStream) {
    if random.chance(faults.networkSlow) {
      if !streamsInTransit.contains(where: { $0 === stream }) { streamsInTransit.append(stream) }
    } else if !streamsInTransit.contains(where: { $0 === stream }) {
      stream.deliver(bytesMax: .max)
    }
  }

  private func deliver(_ stream: SimulatedStream) {
    stream.deliver(bytesMax: random.chance(faults.networkSlow) ? 1 + random.below(4_096) : .max)
    if stream.isExpectingMore { streamsInTransit.append(stream) }
  }

  // MARK: Sleeping

  func wake(_ actor: any SimulatedActor) {
    guard !runnable.contains(where: { $0 === actor }) else { return }
    runnable.append(actor)
    sleeping.removeAll { $0.actor === actor }
  }

  private func sleep(_ actor: any SimulatedActor, until time: UInt64) {
    // It may have woken itself while it acted.
    guard !runnable.contains(where: { $0 === actor }) else { return }
    sleeping.removeAll { $0.actor === actor }
    sleeping.append((time, actor))
  }

  private func nextWake() -> UInt64 {
    var next = UInt64.max
    for sleeper in sleeping { next = min(next, sleeper.until) }
    for connect in connecting { next = min(next, connect.at) }
    return next
  }

  private func wakeSleepers() {
    for sleeper in sleeping where sleeper.until <= clock { wake(sleeper.actor) }
    guard connecting.contains(where: { $0.at <= clock }) else { return }
    for connect in connecting where connect.at <= clock {
      object(connect.descriptor)?.isAnswered = true
      changed(connect.descriptor)
    }
    connecting.removeAll { $0.at <= clock }
  }

  private func jumpClock() {
    guard faults.clockJumpMax > 0, random.chance(faults.clockJump) else { return }
    clock += UInt64(random.below(Int(faults.clockJumpMax)))
  }

  // MARK: Completions

  /// Puts what has happened into an order: that of each descriptor is kept, all else is left to chance.
  private func beginTurn() {
    turn.removeAll(keepingCapacity: true)
    turnHead = 0
    var held: [PendingCompletion] = []
    for pending in arisen {
      let follows = held.contains { $0.descriptor == pending.descriptor }
      if follows || random.chance(faults.completionHeld) {
        held.append(pending)
        continue
      }
      let first = (turn.lastIndex { $0.descriptor == pending.descriptor } ?? -1) + 1
      turn.insert(pending, at: first + random.below(turn.count - first + 1))
    }
    arisen = held
  }

  func nextCompletion() -> Completion? {
    guard turnHead < turn.count else { return nil }
    let pending = turn[turnHead]
    turnHead += 1
    if let stream = pending.accepted { acceptedLast = stream.peer }
    trace(
      "complete", Int(truncatingIfNeeded: pending.completion.token.rawValue), Int(pending.completion.result),
      Int(pending.completion.flags.rawValue))
    return pending.completion
  }

  // MARK: Eventfds

  /// Eventfds are the host's own, because threads write to them without asking a kernel.
  private func checkHostEvents() {
    hostEventPolls.removeAll { pending in
      var entry = pollfd(fd: pending.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, 0) == 1 else { return false }
      complete(pending.token, pending.descriptor.rawValue, Int32(POLLIN))
      return true
    }
  }
}
