// The numbers of a proxy at one moment, rendered for Prometheus. Made by the admin thread for each scrape from the
// workers' blocks; nothing is kept from one scrape to the next. docs/metrics.md lists the names.

import Metrics

/// One scrape's view of the listeners' cells.
struct ListenerSeries {
  let labels: Labels
  let encryption: WorkerMetrics.Encryption
  /// Laid out as `WorkerMetrics.series`, from 0, summed over the workers.
  private(set) var cells: [UInt64]

  /// The series of one listener name: a listener that was removed and added again goes on with the same labels, and
  /// its counters must not go back, so that both of its numbers are summed.
  init(
    _ entries: [ListenerDirectory.Entry], encryption: WorkerMetrics.Encryption, blocks: [MetricBlock]
  ) {
    self.encryption = encryption
    labels = [
      "listener": entries[0].name, "direction": entries[0].direction.rawValue, "tls": encryption.label,
    ]
    cells = Array(repeating: 0, count: WorkerMetrics.seriesCells)
    let bases = entries.map { WorkerMetrics.series(listener: $0.id.rawValue, encryption: encryption) }
    // Backwards: `opened` comes first in the layout, so that it is read after what closed, and a connection that ends
    // in between is never counted as closed but not opened.
    for cell in cells.indices.reversed() {
      for block in blocks {
        for base in bases { cells[cell] &+= block.load(base + cell) }
      }
    }
  }

  subscript(cell: WorkerMetrics.SeriesCell) -> UInt64 { cells[cell.rawValue] }

  func closed(_ reason: CloseReason) -> UInt64 { cells[WorkerMetrics.closedOffset + Int(reason.rawValue)] }

  func connectFailures(_ failure: WorkerMetrics.ConnectFailure) -> UInt64 {
    cells[WorkerMetrics.connectFailureOffset + failure.rawValue]
  }

  func handshakes(_ outcome: WorkerMetrics.Handshake) -> UInt64 {
    cells[WorkerMetrics.handshakeOffset + outcome.offset]
  }

  func denied(_ denial: AuthorizationPolicy.Denial) -> UInt64 {
    cells[WorkerMetrics.denialOffset + Int(denial.rawValue)]
  }

  var active: UInt64 {
    let closed = CloseReason.allCases.reduce(0) { $0 &+ self.closed($1) }
    return self[.opened] >= closed ? self[.opened] - closed : 0
  }
}

extension ListenerDirectory {
  /// All series to expose, in the order of the listeners. Listeners that were removed and have no connection left are
  /// retired on the way, so that their series end with their last connection.
  func series(blocks: [MetricBlock]) -> [ListenerSeries] {
    var groups: [[Entry]] = []
    for entry in current {
      if let index = groups.firstIndex(where: { $0[0].name == entry.name && $0[0].direction == entry.direction }) {
        groups[index].append(entry)
      } else {
        groups.append([entry])
      }
    }
    var result: [ListenerSeries] = []
    for group in groups {
      let all = WorkerMetrics.Encryption.allCases.map { encryption in
        (encryption, ListenerSeries(group, encryption: encryption, blocks: blocks))
      }
      if group.allSatisfy({ $0.state == .removed }), all.allSatisfy({ $0.1.active == 0 }) {
        retire(group.map(\.id))
        continue
      }
      for (encryption, series) in all
      where group.contains(where: { $0.encryptions.contains(encryption) }) || series[.opened] > 0 {
        result.append(series)
      }
    }
    return result
  }
}

extension Exposition {
  /// What connections did, by listener.
  mutating func write(_ series: [ListenerSeries]) {
    counters(
      "sidecar_connections_opened", "Connections that were accepted.", series
    ) { $0[.opened] }
    family(
      name: "sidecar_connections_closed", type: .counter, help: "Connections that ended, by the reason.")
    for one in series {
      for reason in CloseReason.allCases {
        sample(labels: one.labels.adding("reason", reason.label), value: one.closed(reason))
      }
    }
    family(name: "sidecar_connections_active", type: .gauge, help: "Connections that are open.")
    for one in series { sample(labels: one.labels, value: one.active) }
    family(
      name: "sidecar_connection_duration_seconds", type: .histogram, unit: .seconds,
      help: "How long connections lived, from accept to end.")
    for one in series {
      histogram(
        labels: one.labels, layout: .lifetime, cells: one.cells, at: WorkerMetrics.durationOffset)
    }
    counters(
      "sidecar_received_bytes", unit: .bytes, "Bytes received from the downstream.", series
    ) { $0[.receivedBytes] }
    counters("sidecar_sent_bytes", unit: .bytes, "Bytes sent to the downstream.", series) { $0[.sentBytes] }
    family(
      name: "sidecar_relayed_bytes", type: .counter, unit: .bytes,
      help: "Bytes relayed in both directions, by the path they took through the proxy.")
    for one in series {
      sample(labels: one.labels.adding("path", "buffered"), value: one[.relayedBufferedBytes])
      sample(labels: one.labels.adding("path", "spliced"), value: one[.relayedSplicedBytes])
      sample(labels: one.labels.adding("path", "tls"), value: one[.relayedTLSBytes])
    }
    family(
      name: "sidecar_connect_duration_seconds", type: .histogram, unit: .seconds,
      help: "How long it took to connect to the upstream.")
    for one in series {
      histogram(
        labels: one.labels, layout: .latency, cells: one.cells, at: WorkerMetrics.connectDurationOffset)
    }
    family(
      name: "sidecar_connect_failures", type: .counter,
      help: "Attempts to connect to one address of the upstream that failed, by the reason.")
    for one in series {
      for failure in WorkerMetrics.ConnectFailure.allCases {
        sample(labels: one.labels.adding("reason", failure.label), value: one.connectFailures(failure))
      }
    }
  }

  /// What TLS and the policy did. Handshakes only happen to connections that are meant to be encrypted; the policy
  /// judges those in the clear as well.
  mutating func writeSecurity(_ series: [ListenerSeries]) {
    let encrypted = series.filter { $0.encryption == .mutual }
    family(
      name: "sidecar_tls_handshakes", type: .counter,
      help: "TLS handshakes, by how they ended and whether they resumed.")
    for one in encrypted {
      for outcome in WorkerMetrics.Handshake.allCases {
        let resumed = outcome == .succeeded(resumed: true)
        sample(
          labels: one.labels.adding("result", outcome.label).adding("resumed", "\(resumed)"),
          value: one.handshakes(outcome))
      }
    }
    family(
      name: "sidecar_tls_handshake_duration_seconds", type: .histogram, unit: .seconds,
      help: "How long successful TLS handshakes took.")
    for one in encrypted {
      histogram(labels: one.labels, layout: .latency, cells: one.cells, at: WorkerMetrics.handshakeDurationOffset)
    }
    family(
      name: "sidecar_authorization_denied", type: .counter, help: "Connections that the policy denied, by the reason.")
    for one in series {
      for denial in AuthorizationPolicy.Denial.allCases {
        sample(labels: one.labels.adding("reason", "\(denial.label)"), value: one.denied(denial))
      }
    }
  }

  /// Who the proxy is, and for how long.
  mutating func write(_ identity: IdentityState) {
    family(
      name: "sidecar_certificate_reloads", type: .counter, help: "Identities that were loaded again, by the result.")
    sample(labels: ["result": "success"], value: identity.reloads.succeeded)
    sample(labels: ["result": "failure"], value: identity.reloads.failed)
    guard let context = identity.context else { return }
    family(
      name: "sidecar_certificate_not_after_timestamp_seconds", type: .gauge, unit: .seconds,
      help: "When a certificate expires, the earliest where there are several, since unix epoch in seconds.")
    let kinds = [
      ("leaf", context.chain.prefix(1)), ("intermediate", context.chain.dropFirst()),
      ("trust_bundle", context.bundle[...]),
    ]
    for (kind, certificates) in kinds {
      guard let earliest = certificates.map(\.notAfter).min() else { continue }
      sample(labels: ["certificate": kind], value: Int(earliest))
    }
  }

  /// How the workers fare.
  mutating func writeWorkers(_ blocks: [MetricBlock]) {
    family(name: "sidecar_workers", type: .gauge, help: "Worker threads.")
    sample(value: blocks.count)
    // By worker, because an uneven spread of connections and a worker that spins show here and nowhere else.
    workerCells(
      "sidecar_worker_turns", .counter, "Turns of the worker's loop: one entry into the kernel each.", .turns, blocks)
    workerCells(
      "sidecar_worker_connections", .gauge, "Connection slots of the worker that are taken.", .slotsInUse, blocks)
    totalCell(
      "sidecar_receive_buffers_in_use", .gauge, "Shared receive buffers that hold bytes on their way.", .buffersInUse,
      blocks)
    totalCell("sidecar_pipes_in_use", .gauge, "Pipes that carry spliced bytes.", .pipesInUse, blocks)
    totalCell(
      "sidecar_overflow_chunks_in_use", .gauge, "Private chunks that hold bytes for slow readers.", .chunksInUse, blocks
    )
    totalCell(
      "sidecar_receives_starved", .counter, "Receives that waited because no shared buffer was free.",
      .receivesStarved, blocks)
    totalCell(
      "sidecar_pipes_refused", .counter, "Times that a bulk transfer got no pipe and copied instead.", .pipesRefused,
      blocks)
    family(
      name: "sidecar_accept_paused", type: .counter,
      help: "Times that a worker stopped accepting for a while, by the cause.")
    let limited = blocks.total(.acceptPausedByLimit)
    let starved = blocks.total(.acceptPausedByDescriptors)
    sample(labels: ["cause": "connection_limit"], value: limited)
    sample(labels: ["cause": "descriptors"], value: starved)
  }

  private mutating func counters(
    _ name: String, unit: MetricUnit? = nil, _ help: String, _ series: [ListenerSeries],
    _ value: (ListenerSeries) -> UInt64
  ) {
    family(name: name, type: .counter, unit: unit, help: help)
    for one in series { sample(labels: one.labels, value: value(one)) }
  }

  private mutating func workerCells(
    _ name: String, _ type: MetricType, _ help: String, _ cell: WorkerMetrics.Cell, _ blocks: [MetricBlock]
  ) {
    family(name: name, type: type, help: help)
    for (index, block) in blocks.enumerated() {
      sample(labels: ["worker": "\(index)"], value: block.load(cell.rawValue))
    }
  }

  private mutating func totalCell(
    _ name: String, _ type: MetricType, _ help: String, _ cell: WorkerMetrics.Cell, _ blocks: [MetricBlock]
  ) {
    family(name: name, type: type, help: help)
    sample(value: blocks.total(cell))
  }
}

extension [MetricBlock] {
  fileprivate func total(_ cell: WorkerMetrics.Cell) -> UInt64 {
    reduce(0) { $0 &+ $1.load(cell.rawValue) }
  }
}
