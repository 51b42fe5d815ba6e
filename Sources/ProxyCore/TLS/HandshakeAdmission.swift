// Which handshakes of strangers a worker has in hand, and who gives way when there are too many. Connecting and saying
// nothing costs a stranger nothing, and half a handshake costs it little: neither may keep those out who mean it. So
// there are two classes, each with its own bound and its own order; `Worker+Handshake` asks before it takes one on.

/// A connection's place among the inbound handshakes; part of `Connection`.
struct HandshakePlace {
  enum Stage: UInt8 {
    /// No inbound handshake, or none that was taken on.
    case none
    /// Connected, and not a byte has come.
    case silent
    /// Taken on, and it is our turn: its bytes wait for a step, or for room to send.
    case working
    /// Taken on, and it is the peer's turn.
    case waiting
  }

  var stage = Stage.none
  var next = ConnectionTable.none
  var previous = ConnectionTable.none
}

/// The inbound handshakes of one worker.
struct HandshakeAdmission {
  /// Handshakes in progress, each of which holds about 40 KiB in libssl until it is over: 160 MiB over all workers, which
  /// pods with the limit that `deploy/` sets can spare.
  var inProgressMax: Int

  /// Connections that have not said a byte, at the most: half a KiB each, so that this is a bound on the share of
  /// `limits.connections` that can be had for nothing rather than one on memory.
  var silentMax = 4_096

  /// A handshake that began as long ago as this, in nanoseconds, and waits for its peer, may be dropped for another one.
  /// A peer that means it answers within a round trip and a few signatures, once around the world at the most. The longer
  /// the patience, the fewer get in while strangers take every place that comes free.
  static var patience: UInt64 { 250_000_000 }

  private(set) var inProgress = 0
  private var silent = WaitingList()
  /// In the order of the last bytes that came.
  private var waiting = WaitingList()

  init(workers: Int) { inProgressMax = min(1_024, max(32, 4_096 / workers)) }

  // MARK: Silence

  /// A connection has arrived that will have to speak first. `share` is this worker's part of `limits.connections`, of
  /// which silence gets half.
  ///
  /// - Returns: the connection that has been silent for the longest time, if it has to go for this one.
  mutating func arrived(_ slot: UInt32, share: Int, in table: borrowing ConnectionTable) -> UInt32? {
    silent.append(slot, in: table)
    table[slot].pointee.handshake.stage = .silent
    return silent.count > max(1, min(silentMax, share / 2)) ? silent.first : nil
  }

  // MARK: Progress

  enum Admission: Equatable {
    case admitted
    /// This one has to go for it.
    case admittedInPlaceOf(UInt32)
    case refused
  }

  /// The peer's first bytes have come: takes the handshake on, if there is room or can be made. Of this worker's part of
  /// `limits.connections`, `share`, handshakes get a quarter: with silence they leave a quarter to those who have proved who they
  /// are, and to listeners without TLS.
  mutating func begin(_ slot: UInt32, share: Int, now: UInt64, in table: borrowing ConnectionTable) -> Admission {
    leave(slot, in: table)
    var victim: UInt32?
    if inProgress >= max(1, min(inProgressMax, share / 4)) {
      guard let first = waiting.first, let startedAt = table[first].pointee.tls?.pointee.handshakeStartedAt,
        now &- startedAt >= Self.patience
      else { return .refused }
      victim = first
    }
    inProgress += 1
    table[slot].pointee.handshake.stage = .working
    return victim.map { .admittedInPlaceOf($0) } ?? .admitted
  }

  /// A handshake that was taken on has nothing more to do until its peer answers.
  mutating func awaitsPeer(_ slot: UInt32, in table: borrowing ConnectionTable) {
    guard table[slot].pointee.handshake.stage == .working else { return }
    waiting.append(slot, in: table)
    table[slot].pointee.handshake.stage = .waiting
  }

  /// The peer has answered.
  mutating func peerAnswered(_ slot: UInt32, in table: borrowing ConnectionTable) {
    guard table[slot].pointee.handshake.stage == .waiting else { return }
    waiting.remove(slot, in: table)
    table[slot].pointee.handshake.stage = .working
  }

  /// The connection's handshake is over, one way or another, or never was one.
  mutating func leave(_ slot: UInt32, in table: borrowing ConnectionTable) {
    switch table[slot].pointee.handshake.stage {
    case .none: return
    case .silent: silent.remove(slot, in: table)
    case .working: inProgress -= 1
    case .waiting:
      waiting.remove(slot, in: table)
      inProgress -= 1
    }
    table[slot].pointee.handshake.stage = .none
  }
}

/// A list of connections through `Connection.handshake`, the one that was appended first in front.
private struct WaitingList {
  private var firstSlot = ConnectionTable.none
  private var lastSlot = ConnectionTable.none
  private(set) var count = 0

  var first: UInt32? { firstSlot == ConnectionTable.none ? nil : firstSlot }

  mutating func append(_ slot: UInt32, in table: borrowing ConnectionTable) {
    table[slot].pointee.handshake.next = ConnectionTable.none
    table[slot].pointee.handshake.previous = lastSlot
    if lastSlot == ConnectionTable.none {
      firstSlot = slot
    } else {
      table[lastSlot].pointee.handshake.next = slot
    }
    lastSlot = slot
    count += 1
  }

  mutating func remove(_ slot: UInt32, in table: borrowing ConnectionTable) {
    let place = table[slot].pointee.handshake
    if place.previous == ConnectionTable.none {
      firstSlot = place.next
    } else {
      table[place.previous].pointee.handshake.next = place.next
    }
    if place.next == ConnectionTable.none {
      lastSlot = place.previous
    } else {
      table[place.next].pointee.handshake.previous = place.previous
    }
    count -= 1
  }
}
