// Whether connections leave anything behind: descriptors, slots, buffers, pipes.

extension SidecarProcess {
  /// Waits for the last connection to end, and for everything that connections held to be back.
  ///
  /// - Parameter before: `idleDescriptorCounts` of a moment before the first connection.
  /// - Returns: the metrics after that.
  @discardableResult
  package func awaitNothingLeft(since before: [String: Int]) throws -> MetricsText {
    let gauges = [
      "sidecar_connections_active", "sidecar_worker_connections", "sidecar_receive_buffers_in_use",
      "sidecar_pipes_in_use", "sidecar_overflow_chunks_in_use",
    ]
    let metrics = try awaitMetrics("all connections have ended and gave everything back") { metrics in
      gauges.allSatisfy { metrics.has($0) && metrics.sum($0) == 0 }
    }
    var now = try idleDescriptorCounts()
    // A worker keeps up to eight empty pipes of two ends each, for the next bulk transfers.
    let pipes = now["pipe", default: 0] - before["pipe", default: 0]
    now["pipe"] = before["pipe"]
    guard (0...(16 * metrics.sum("sidecar_workers"))).contains(pipes), now == before else {
      throw HarnessError("open descriptors were \(before), and are \(now) with \(pipes) more ends of pipes")
    }
    return metrics
  }
}
