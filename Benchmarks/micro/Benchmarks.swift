// The pieces of the hot path by themselves. Each reports what one run of it costs in counts that don't depend on the
// machine: heap allocations, retains, releases, system calls. They have thresholds (Benchmarks/Thresholds), which CI
// checks; wall clock time has none. Started by `make bench-micro`.

import Benchmark
import CMicroSubjects

let benchmarks: @Sendable () -> Void = {
  // Names without spaces: the library writes thresholds under others than it looks for.
  measure("Ring-submit-and-complete", micro_ring)
  measure("Relay-of-one-message", micro_relay)
  measure("TLS-record-of-64-B", micro_tls_small)
  measure("TLS-record-of-16-KiB", micro_tls_large)
  measure("TLS-handshake", micro_handshake_full, times: 20, allocationTolerance: 5)
  measure("TLS-handshake-resumed", micro_handshake_resumed, times: 20, allocationTolerance: 5)
  measure("Histogram-record", micro_histogram)
  measure("Exposition-of-10000-series", micro_exposition, times: 1)
}

/// Adds a benchmark that runs a subject `times` times per sample. Allocations of libssl's own may differ from its one patch
/// release to the next, by so many per cent.
private func measure(_ name: String, _ subject: micro_subject, times: Int = 1_000, allocationTolerance: Double = 0) {
  let counts: [BenchmarkMetric] = [.allocations, .retains, .releases, .systemCalls]
  let configuration = Benchmark.Configuration(
    metrics: counts + [.wallClock], maxDuration: .seconds(1),
    thresholds: [.allocations: BenchmarkThresholds(relative: [.p90: allocationTolerance])])
  Benchmark(name, configuration: configuration) { benchmark in
    guard let opened = micro_open(subject) else { return benchmark.error("this host refuses what it needs") }
    defer { micro_close(opened) }
    benchmark.startMeasurement()
    let costs = micro_run(opened, Int64(times))
    benchmark.stopMeasurement()
    benchmark.measurement(.allocations, perRun(costs.allocations, times))
    benchmark.measurement(.retains, perRun(costs.retains, times))
    benchmark.measurement(.releases, perRun(costs.releases, times))
    benchmark.measurement(.systemCalls, perRun(costs.system_calls, times))
  }
}

/// Rounded up: once in a thousand times is not never.
private func perRun(_ count: UInt64, _ times: Int) -> Int { (Int(count) + times - 1) / times }

extension BenchmarkMetric {
  // The library's own counts of allocations need jemalloc, and those of retains crash.
  static let allocations = BenchmarkMetric.custom("allocations", polarity: .prefersSmaller, useScalingFactor: false)
  static let retains = BenchmarkMetric.custom("retains", polarity: .prefersSmaller, useScalingFactor: false)
  static let releases = BenchmarkMetric.custom("releases", polarity: .prefersSmaller, useScalingFactor: false)
  static let systemCalls = BenchmarkMetric.custom("systemCalls", polarity: .prefersSmaller, useScalingFactor: false)
}
