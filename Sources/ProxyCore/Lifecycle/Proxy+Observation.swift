// What a running proxy tells of itself. Called by the admin thread and the demo; nothing here waits for a worker,
// except `connections`, which gives up after a while.

import Glibc
import IOUring
public import Metrics

extension Proxy {
  /// What is in effect, reloads included; listeners with the port that the kernel chose where 0 was asked for.
  public var configuration: Configuration { state.withLock { $0.configuration } }

  public var phase: DrainMachine.Phase { state.withLock { $0.drain.phase } }

  /// Why no new connections should be sent here; empty: ready. One line each.
  public var unreadyReasons: [String] {
    let phaseReasons =
      switch phase {
      case .serving: [] as [String]
      case .grace, .draining: ["draining"]
      case .closing, .ended: ["shutting down"]
      case .drained: ["drained"]
      }
    return phaseReasons + identityReasons
  }

  private var identityReasons: [String] {
    guard let identity, identity.validUntil <= Clocks.wallSeconds else { return [] }
    return ["the identity \(identity.id) expired on \(TLSMaterialError.date(identity.validUntil))"]
  }

  /// Who the proxy is; nil when nothing uses TLS.
  public var identity: TLSContext? { state.withLock { $0.identity.context } }

  /// How the last attempt to load the identity again ended; nil: there was none since the start.
  public var lastIdentityReload: IdentityReload? { state.withLock { $0.identity.lastReload } }

  public var workerCount: Int { workers.count }

  /// Connections that are open now, over all listeners.
  public var connectionCount: Int { budget.usedCount }

  /// Describes the open connections, as far as the workers answer in time.
  public func connections() -> [ConnectionSnapshot] {
    guard let done = try? EventDescriptor.make() else { return [] }
    let live = workers.filter { !$0.thread.hasEnded }
    let listing = ConnectionListing(workers: live.count, doneDescriptor: done)
    for worker in live { worker.mailbox.post(.listConnections(listing)) }
    var poll = pollfd(fd: done.rawValue, events: Int16(POLLIN), revents: 0)
    // A worker takes microseconds. Without an answer (it ended just now, or it is stuck) the descriptor stays open,
    // since a late answer to a number that is used for something else would do harm.
    if live.isEmpty || Glibc.poll(&poll, 1, Self.listingTimeoutMilliseconds) > 0 { close(done.rawValue) }
    return listing.result()
  }

  private static var listingTimeoutMilliseconds: Int32 { 500 }

  /// All metrics of the proxy, for one scrape.
  public func metrics(format: ExpositionFormat) -> [UInt8] {
    let blocks = workers.map(\.metrics)
    let (identity, reloads, limit) = state.withLock { ($0.identity, $0.reloads, $0.connectionLimit) }
    var exposition = Exposition(format: format)
    exposition.family(name: "sidecar_build", type: .info, help: "The version of the proxy.")
    exposition.info(labels: ["version": BuildInfo.version])
    exposition.family(name: "sidecar_engine", type: .info, help: "The kernel interface that the workers use.")
    exposition.info(labels: ["engine": engine.rawValue])
    exposition.family(name: "sidecar_ready", type: .gauge, help: "1 when new connections are welcome, else 0.")
    exposition.sample(value: unreadyReasons.isEmpty ? 1 : 0)
    exposition.family(
      name: "sidecar_config_reloads", type: .counter, help: "Configurations that were loaded again, by the result.")
    exposition.sample(labels: ["result": "success"], value: reloads.succeeded)
    exposition.sample(labels: ["result": "failure"], value: reloads.failed)
    exposition.family(
      name: "sidecar_config_last_reload_successful", type: .gauge, help: "0 when the last configuration was refused.")
    exposition.sample(value: reloads.lastSucceeded ? 1 : 0)
    exposition.family(
      name: "sidecar_config_last_success_timestamp_seconds", type: .gauge, unit: .seconds,
      help: "When a configuration last took effect, since unix epoch in seconds.")
    exposition.sample(value: reloads.lastSuccessAt / 1_000_000_000)
    exposition.family(
      name: "sidecar_connections_limit", type: .gauge, help: "Connections that may be open at once.")
    exposition.sample(value: limit)
    exposition.family(
      name: "sidecar_access_log_dropped", type: .counter, help: "Access log lines that were dropped.")
    exposition.sample(value: accessLog?.droppedCount ?? 0)
    let rotations = accessLog?.rotations ?? AccessLogFile.Rotations()
    exposition.family(
      name: "sidecar_access_log_rotations", type: .counter, help: "Rotations of the access log's file, by the result.")
    exposition.sample(labels: ["result": "success"], value: rotations.succeeded)
    exposition.sample(labels: ["result": "failure"], value: rotations.failed)
    let series = directory.series(blocks: blocks)
    exposition.write(series)
    exposition.writeSecurity(series)
    exposition.write(identity)
    exposition.writeWorkers(blocks)
    ProcessMetrics.write(into: &exposition)
    return exposition.finish()
  }
}
