// What must be true of every run, whatever its seed. Each checker adds a sentence for everything that isn't.

import Glibc
import KernelTestSupport
import Metrics

@testable import ProxyCore

extension Simulation {
  /// Everything that was wrong; empty: the run was right.
  func check() -> [String] {
    var found = problems
    for dialogue in dialogues {
      for party in [dialogue.client, dialogue.server] { if let wrong = party?.corruption { found.append(wrong) } }
      checkTrust(dialogue, &found)
      // Of what is said to somebody who doesn't understand it only the trust matters.
      guard !dialogue.isForeign else { continue }
      checkStreams(dialogue, &found)
      checkReason(dialogue, &found)
    }
    // A run that was broken off still holds what it held.
    if found.isEmpty {
      checkEverybodyEnded(&found)
      checkNothingHeld(&found)
      checkCounters(&found)
    }
    return found
  }

  // MARK: Bytes, FINs and resets

  private func checkStreams(_ dialogue: Dialogue, _ found: inout [String]) {
    let client = dialogue.client
    checkDirection(from: client, to: dialogue.server, dialogue, &found)
    if let server = dialogue.server {
      checkDirection(from: server, to: client, dialogue, &found)
    } else if client.received > 0 || client.seen == .fin, dialogue.record?.reason != .idleTimeout {
      found.append("\(client.name) has no server, but received \(client.received) bytes and \(client.seen)")
    }
  }

  /// What arrives is a beginning of what was sent; whoever sees the end of a stream has seen all of it.
  private func checkDirection(
    from sender: SimulatedParty, to receiver: SimulatedParty?, _ dialogue: Dialogue, _ found: inout [String]
  ) {
    guard let receiver else { return }
    if receiver.received > sender.sent {
      found.append("\(receiver.name) received \(receiver.received) bytes of \(sender.sent)")
    }
    guard receiver.seen == .fin else { return }
    // A Unix socket can't be reset: it sees an end where the stream was cut.
    let reason = dialogue.record?.reason
    if receiver.stream.isUnix, reason?.cutsStream != false || reason == .idleTimeout { return }
    // Of a stream that idled out nobody knows whether it is complete; but what the proxy has read it must have passed on.
    if let record = dialogue.record, record.reason == .idleTimeout {
      if sender === dialogue.client, record.receivedBytes > UInt64(receiver.received) {
        found.append("\(receiver.name) saw the end after \(receiver.received) of \(record.receivedBytes) bytes")
      }
      return
    }
    // An app that went away in mid-handshake has heard nothing that could be complete or not.
    if dialogue.isBeforeRelay, receiver === dialogue.server, receiver.received == 0 { return }
    if !sender.hasFinished || receiver.received != sender.sent {
      found.append(
        "\(receiver.name) saw the end after \(receiver.received) bytes, but \(sender.name) sent \(sender.sent), "
          + "finished: \(sender.hasFinished), reset: \(sender.hasReset), reason: \(dialogue.reasonText)")
    }
  }

  /// At rest, with nothing on its way and nothing that could still happen: a reset has reached the other side.
  func checkResetsPassedOn() -> [String] {
    var found: [String] = []
    for dialogue in dialogues {
      // What has ended has told both sides; a stream that idled out ended in good order, whatever came then.
      guard let server = dialogue.server, dialogue.record == nil, !dialogue.isForeign else { continue }
      for (party, other) in [(dialogue.client, server), (server, dialogue.client)]
      where party.hasReset && !party.hasCut && !party.stream.isUnix && !other.stream.isUnix && !other.isGone {
        found.append("\(party.name) has reset, and \(other.name) doesn't know")
      }
    }
    return found
  }

  // MARK: Who is to blame

  private func checkReason(_ dialogue: Dialogue, _ found: inout [String]) {
    guard let record = dialogue.record else { return }
    let (client, server) = (dialogue.client, dialogue.server)
    let isRight =
      switch record.reason {
      case .downstreamClosed where dialogue.isBeforeRelay: client.isGone
      case .upstreamClosed where dialogue.isBeforeRelay: server?.hasFinished == true
      case .downstreamClosed, .upstreamClosed: client.hasFinished && server?.hasFinished == true
      case .downstreamReset: client.hasReset
      case .upstreamReset: server?.hasReset == true
      case .tlsTruncated: client.hasReset || server?.hasReset == true
      case .connectRefused, .connectTimeout, .connectUnreachable, .connectFailed, .resolveFailed, .connectLoop,
        .descriptorsExhausted:
        server == nil
      default: true
      }
    if !isRight {
      found.append(
        "\(client.name) ended as \(record.reason.label), but finished: \(client.hasFinished), reset: "
          + "\(client.hasReset), server: \(server.map { "finished: \($0.hasFinished), reset: \($0.hasReset)" } ?? "none")"
      )
    }
    // The proxy ends a stream with close_notify, or resets it; only an alert, or nothing at all, may come before a mere FIN.
    let mayCut = record.reason.isTLSFailure || record.reason == .idleTimeout
    for party in [client, server] where party?.heardCut == true && !mayCut {
      found.append("\(party?.name ?? "") heard an end without close_notify, reason: \(record.reason.label)")
    }
    // Of a sealed piece that was cut nobody knows how much was of use. A timeout cuts, too, where bytes are held.
    let isExact = client.credentials == .none || !(record.reason.cutsStream || client.seen == .reset)
    if record.receivedBytes > client.sent || (isExact && record.sentBytes < client.received) {
      found.append(
        "\(client.name) sent \(client.sent) and received \(client.received), but the log says "
          + "\(record.receivedBytes) and \(record.sentBytes)")
    }
    guard !record.reason.cutsStream, record.reason != .idleTimeout, !dialogue.isBeforeRelay, let server else { return }
    if record.receivedBytes != client.sent || record.sentBytes != server.sent {
      found.append(
        "\(client.name) ended cleanly with \(record.receivedBytes) of \(client.sent) bytes to the server and "
          + "\(record.sentBytes) of \(server.sent) back")
    }
    for (party, other) in [(client, server), (server, client)]
    where !party.hasReset && (party.seen != .fin || party.received != other.sent) {
      found.append("\(party.name) was not told of a clean end: \(party.seen), \(party.received) of \(other.sent) bytes")
    }
  }

  // MARK: After the end

  private func checkEverybodyEnded(_ found: inout [String]) {
    for dialogue in dialogues {
      for party in [dialogue.client, dialogue.server] where party?.isGone == false {
        found.append("\(party?.name ?? "") never heard of an end")
      }
      if dialogue.server != nil, dialogue.record == nil, !dialogue.client.hasReset {
        found.append("\(dialogue.client.name) is not in the access log")
      }
    }
  }

  private func checkNothingHeld(_ found: inout [String]) {
    var held: [(String, Int)] = []
    held.append(("connection slots", worker.connections.usedCount))
    held.append(("receive buffers", worker.buffersInUse))
    held.append(("chunks", worker.chunks.usedCount))
    held.append(("large buffers", worker.bulkBuffers.usedCount))
    held.append(("pipes", worker.pipes.usedCount))
    held.append(("handshakes", worker.handshakes.inProgress + worker.outboundHandshakesInProgress))
    held.append(("permits", budget.usedCount))
    held.append(("descriptors", world.openDescriptorCount))
    held.append(("timers", worker.timers.nextDeadline == .max ? 0 : 1))
    held.append(("starved half-pipes", worker.starved.isEmpty ? 0 : 1))
    for (what, count) in held where count != 0 { found.append("\(count) \(what) are still held at the end") }
    if world.freeBufferCount != world.bufferCount { found.append("the kernel misses receive buffers") }
  }

  /// A counter over all listeners.
  func total(_ cell: WorkerMetrics.SeriesCell) -> UInt64 { total(cell.rawValue) }

  private func total(_ offset: Int) -> UInt64 {
    var sum: UInt64 = 0
    for listener in 0..<listenerCount {
      for encryption in WorkerMetrics.Encryption.allCases {
        sum += metrics.load(WorkerMetrics.series(listener: listener, encryption: encryption) + offset)
      }
    }
    return sum
  }

  private func checkCounters(_ found: inout [String]) {
    let opened = total(.opened)
    let closed = CloseReason.allCases.reduce(0) { $0 + total(WorkerMetrics.closedOffset + Int($1.rawValue)) }
    let (received, sent) = (total(.receivedBytes), total(.sentBytes))
    let records = dialogues.compactMap(\.record) + recordsWithoutClient
    if opened != closed { found.append("\(opened) connections were opened and \(closed) closed") }
    if closed != UInt64(records.count) { found.append("\(closed) connections ended and \(records.count) were logged") }
    // Whoever finds no slot isn't counted; a connection that is led back to the worker takes two.
    if scenario.slotsMax > 2 * scenario.clientCount, opened != UInt64(world.acceptedCount) {
      found.append("\(world.acceptedCount) connections were accepted and \(opened) counted")
    }
    let (logReceived, logSent) = records.reduce(into: (UInt64(0), UInt64(0))) {
      $0.0 += $1.receivedBytes
      $0.1 += $1.sentBytes
    }
    if received != logReceived || sent != logSent {
      found.append("bytes in and out: \(received), \(sent) counted; \(logReceived), \(logSent) logged")
    }
  }
}

extension Dialogue {
  fileprivate var isForeign: Bool { client.isForeign || server?.isForeign == true || isPassedThrough }
  /// It ended before a handshake that it began with was over.
  fileprivate var isBeforeRelay: Bool {
    guard let record, record.encryption == .mutual else { return false }
    return record.tls == nil || record.connectedAt == 0
  }
  fileprivate var reasonText: String { record?.reason.label ?? "none" }
}
