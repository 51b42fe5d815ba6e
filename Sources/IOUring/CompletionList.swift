// The completions that the epoll kernel has raised and the worker has not yet taken. Used by `Epoll` alone.

/// Completions in the order in which they were raised, split at the turn: what was raised before `endTurn` is served
/// now, what was raised after it waits for the next turn. It starts over at its first page each turn, so that the
/// resident part is that of the busiest turn.
struct CompletionList: ~Copyable {
  let entries: Reservation<Completion>
  /// `head..<turnEnd` is this turn's; `turnEnd..<tail` the next one's.
  var head = 0
  var turnEnd = 0
  private var tail = 0

  /// - Parameter capacity: completions that can be outstanding at once; more is a bug of ours.
  init(capacity: Int) throws(RingError) {
    entries = try Reservation(count: capacity)
  }

  /// Adds a completion to the next turn.
  mutating func raise(_ token: Token, _ result: Int32, _ flags: Completion.Flags = []) {
    precondition(tail < entries.count, "more completions than operations can be in flight")
    entries.elements[tail] = Completion(token: token, result: result, flags: flags)
    tail += 1
  }

  /// Moves what was not taken, and what was raised since, to the front.
  mutating func beginTurn() {
    if head > 0 {
      entries.elements.update(from: entries.elements + head, count: tail - head)
      tail -= head
      head = 0
    }
    turnEnd = 0
  }

  /// Opens what is there to `next`.
  mutating func endTurn() { turnEnd = tail }

  /// Whether something was raised since this turn began.
  var hasMore: Bool { tail > turnEnd }

  /// Between `beginTurn` and `endTurn`: whether this turn has nothing to serve yet.
  var isEmpty: Bool { tail == 0 }

  mutating func next() -> Completion? {
    guard head < turnEnd else { return nil }
    defer { head &+= 1 }
    return entries.elements[head]
  }
}
