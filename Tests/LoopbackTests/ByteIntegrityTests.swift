// Goal: every byte arrives, in order, exactly once, whatever the other connections of the proxy do; and afterwards
// nothing is left of them.
// Method: 64 connections carry 1 GiB each way in random pieces from 1 byte to 1 MiB, hashed at both ends, while others
// half-close, reset and stall. Then the metrics are held against what the clients counted, and descriptors, slots,
// buffers, pipes and chunks against what they were before.

import TestSupport
import Testing

@Suite("Bytes", .serialized)
struct ByteIntegrityTests {
  static let connections = 64
  static let bytesPerConnection = (1 << 30) / connections

  @Test("1 GiB each way over 64 connections beside disturbers", arguments: [1, 2])
  func everyByteOnce(workers: Int) throws {
    let exchange = try RandomExchange(bytes: Self.bytesPerConnection)
    let disturbances = try Disturbances()
    let sidecar = try SidecarProcess(
      [try .init("bytes", to: exchange.server)] + disturbances.listeners(), workers: workers)
    let before = try sidecar.idleDescriptorCounts()

    let disturber = disturbances.start(against: sidecar)
    let outcomes = Result {
      try concurrently(Self.connections) { number in
        try RandomExchange.run(
          on: try sidecar.connect(to: "bytes"), number: UInt64(number), bytes: Self.bytesPerConnection)
      }
    }
    disturbances.stop()
    let disturbed = Result { try disturber.wait() }
    for (number, outcome) in try outcomes.get().enumerated() {
      #expect(outcome.receivedBytes == Self.bytesPerConnection)
      #expect(try exchange.serverOutcome(UInt64(number)) == outcome.mirrored, "connection \(number)")
    }
    let counts = try disturbed.get()
    #expect(counts.clientEndsFirst > 0 && counts.serverEndsFirst > 0)
    #expect(counts.clientResets > 0 && counts.serverResets > 0)

    let metrics = try sidecar.awaitNothingLeft(since: before)
    expectExactCounts(metrics, counts)
    try sidecar.stop()
  }

  /// What the metrics say is what the clients did.
  private func expectExactCounts(_ metrics: MetricsText, _ counts: Disturbances.Counts) {
    let total = Self.connections * Self.bytesPerConnection
    let headers = Self.connections * RandomExchange.headerBytes
    let bytes = ["listener": "bytes"]
    #expect(metrics.sum("sidecar_received_bytes_total", bytes) == total + headers)
    #expect(metrics.sum("sidecar_sent_bytes_total", bytes) == total)
    #expect(metrics.sum("sidecar_relayed_bytes_total", bytes) == 2 * total + headers)
    #expect(metrics.sum("sidecar_connections_opened_total", bytes) == Self.connections)

    let closed = { (listener: String, reason: String) in
      metrics.sum("sidecar_connections_closed_total", ["listener": listener, "reason": reason])
    }
    #expect(closed("client-first", "downstream_closed") == counts.clientEndsFirst)
    #expect(closed("server-first", "upstream_closed") == counts.serverEndsFirst)
    #expect(closed("resets", "downstream_reset") == counts.clientResets)
    #expect(closed("resets", "upstream_reset") == counts.serverResets)
    #expect(metrics.sum("sidecar_connect_failures_total") == 0)
  }
}
