// Counting and showing: a histogram's record, and a scrape.

internal import Metrics

final class HistogramSubject: Subject {
  private let block = MetricBlock.allocate(cells: HistogramLayout.latency.cellCount)
  private let layout = HistogramLayout.latency
  private var nanoseconds: UInt64 = 1

  deinit { block.deallocate() }

  /// A value in another bucket each time.
  override func run(times: Int64) {
    for _ in 0..<times {
      layout.record(nanoseconds: nanoseconds >> 30, in: block, at: 0)
      nanoseconds = nanoseconds &* 6_364_136_223_846_793_005 &+ 1
    }
  }
}

final class ExpositionSubject: Subject {
  private let labels: [Labels]

  init(series: Int) throws {
    labels = (0..<series).map { Labels([("listener", "listener-\($0)"), ("direction", "inbound")]) }
    try super.init()
  }

  override func run(times: Int64) {
    for _ in 0..<times { precondition(scrape() > 10_000) }
  }

  /// - Returns: bytes of the text.
  private func scrape() -> Int {
    var exposition = Exposition(format: .text)
    exposition.family(name: "sidecar_connections", type: .counter, help: "Connections.")
    for (index, labels) in labels.enumerated() { exposition.sample(labels: labels, value: UInt64(index)) }
    return exposition.finish().count
  }
}
