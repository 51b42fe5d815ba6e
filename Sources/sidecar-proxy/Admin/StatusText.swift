// The state of a proxy as text for people: what the `status` and `top` commands print.

import ProxyCore

enum StatusText {
  static func status(_ proxy: Proxy) -> String {
    var lines = [
      "sidecar-proxy \(BuildInfo.version), engine \(proxy.engine.rawValue), workers \(proxy.workerCount), "
        + "\(proxy.phase.rawValue), connections \(proxy.connectionCount)"
    ]
    for listener in proxy.configuration.listeners {
      lines.append(
        "\(listener.direction.rawValue) \(listener.name): \(listener.bind) → \(listener.target), "
          + "tls \(listener.tls.rawValue)")
    }
    return lines.joined(separator: "\n")
  }

  /// A screenful.
  private static let connectionsShownMax = 30

  /// A table, the busiest connections first.
  static func connections(_ snapshots: [ConnectionSnapshot], of proxy: Proxy) -> String {
    let busiest = snapshots.sorted { $0.receivedBytes &+ $0.sentBytes > $1.receivedBytes &+ $1.sentBytes }
    var rows = [["LISTENER", "DOWNSTREAM", "UPSTREAM", "PHASE", "AGE s", "IDLE s", "RECEIVED", "SENT", "PATHS"]]
    for snapshot in busiest.prefix(connectionsShownMax) {
      rows.append([
        proxy.directory[snapshot.listener]?.name ?? "-", snapshot.downstream?.description ?? "-",
        snapshot.upstream.description, snapshot.phase.rawValue, "\(snapshot.age / 1_000_000_000)",
        "\(snapshot.idle / 1_000_000_000)", "\(snapshot.receivedBytes)", "\(snapshot.sentBytes)",
        "\(snapshot.paths.0.rawValue)/\(snapshot.paths.1.rawValue)",
      ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let table = rows.map { row in
      zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.count) }
        .joined(separator: "  ")
    }
    let hidden = snapshots.count - min(snapshots.count, connectionsShownMax)
    return (table + (hidden > 0 ? ["and \(hidden) more"] : [])).joined(separator: "\n")
  }
}
