// Goal: what goes into an exposition is what Prometheus reads from it, in both formats, whatever the labels hold.
// Method: whole small bodies compared as text; larger ones read back by an independent parser; exit tests for our own
// mistakes. What promtool thinks of it is in PromtoolTests.

import Testing

@testable import Metrics

@Suite struct ExpositionTests {
  @Test func textFormat() {
    #expect(
      small(.text) == """
        # HELP test_requests_total Requests "seen".
        # TYPE test_requests_total counter
        test_requests_total{code="200",side="in"} 18446744073709551615
        test_requests_total{code="500",side="in"} 0
        # HELP test_cpu_seconds_total CPU time.
        # TYPE test_cpu_seconds_total counter
        test_cpu_seconds_total 1.000000001
        # HELP test_wait_seconds Waits.
        # TYPE test_wait_seconds histogram
        test_wait_seconds_bucket{side="in",le="5e-05"} 1
        test_wait_seconds_bucket{side="in",le="1.0"} 3
        test_wait_seconds_bucket{side="in",le="+Inf"} 6
        test_wait_seconds_sum{side="in"} 12.5
        test_wait_seconds_count{side="in"} 6
        # HELP test_build_info Build.
        # TYPE test_build_info gauge
        test_build_info{version="1.0"} 1

        """)
  }

  @Test func openMetricsFormat() {
    #expect(
      small(.openMetrics) == #"""
        # TYPE test_requests counter
        # HELP test_requests Requests \"seen\".
        test_requests_total{code="200",side="in"} 18446744073709551615
        test_requests_total{code="500",side="in"} 0
        # TYPE test_cpu_seconds counter
        # UNIT test_cpu_seconds seconds
        # HELP test_cpu_seconds CPU time.
        test_cpu_seconds_total 1.000000001
        # TYPE test_wait_seconds histogram
        # UNIT test_wait_seconds seconds
        # HELP test_wait_seconds Waits.
        test_wait_seconds_bucket{side="in",le="5e-05"} 1
        test_wait_seconds_bucket{side="in",le="1.0"} 3
        test_wait_seconds_bucket{side="in",le="+Inf"} 6
        test_wait_seconds_sum{side="in"} 12.5
        test_wait_seconds_count{side="in"} 6
        # TYPE test_build info
        # HELP test_build Build.
        test_build_info{version="1.0"} 1
        # EOF

        """#)
  }

  private func small(_ format: ExpositionFormat) -> String {
    let layout = HistogramLayout(upperBounds: [50_000, 1_000_000_000])
    defer { layout.deallocate() }
    let side: Labels = ["side": "in"]
    var exposition = Exposition(format: format)
    exposition.family(name: "test_requests", type: .counter, help: "Requests \"seen\".")
    exposition.sample(labels: side.adding("code", "200"), value: UInt64.max)
    exposition.sample(labels: side.adding("code", "500"), value: 0)
    exposition.family(name: "test_cpu_seconds", type: .counter, unit: .seconds, help: "CPU time.")
    exposition.sample(nanoseconds: 1_000_000_001)
    exposition.family(name: "test_wait_seconds", type: .histogram, unit: .seconds, help: "Waits.")
    exposition.histogram(labels: side, layout: layout, cells: [99, 1, 2, 3, 12_500_000_000], at: 1)
    exposition.family(name: "test_build", type: .info, help: "Build.")
    exposition.info(labels: ["version": "1.0"])
    return String(decoding: exposition.finish(), as: UTF8.self)
  }

  @Test(arguments: ExpositionFormat.allCases)
  func anEmptyBodyIsValid(format: ExpositionFormat) throws {
    let exposition = Exposition(format: format)
    #expect(exposition.contentType == format.contentType)
    #expect(try parseExposition(exposition.finish(), format: format).isEmpty)
  }

  static let hostileTexts = [
    "", " ", "\\", "\"", "\n", "\\n", "\\\\n\"", "a\\", "\r\n", "\t", "}", "} 1\nx 2", "é 👩‍🚀", "\u{0}", "#", ",b=\"c",
  ]

  @Test(arguments: ExpositionFormat.allCases)
  func hostileTextsComeBackUnchanged(format: ExpositionFormat) throws {
    var exposition = Exposition(format: format)
    for (index, text) in Self.hostileTexts.enumerated() {
      exposition.family(name: "test_\(index)", type: .gauge, help: text)
      exposition.sample(labels: ["a": text, "b": text + "x"], value: 1)
    }
    let families = try parseExposition(exposition.finish(), format: format)
    #expect(families.map(\.help) == Self.hostileTexts)
    #expect(
      families.map(\.samples)
        == Self.hostileTexts.enumerated().map { index, text in
          [ParsedSample(name: "test_\(index)", labels: ["a": text, "b": text + "x"], value: "1")]
        })
  }

  @Test func labelsAreSortedAndEqualWhateverTheirOrder() {
    let labels: Labels = ["b": "2", "a": "1"]
    #expect(labels == Labels([("a", "1"), ("b", "2")]))
    #expect(labels == Labels([("a", "1")]).adding("b", "2"))
    #expect(labels != ["a": "1"])
    #expect(String(decoding: labels.rendered, as: UTF8.self) == #"a="1",b="2""#)
  }

  /// 10,000 series, of counters and of histograms, come back with every label and value.
  @Test(arguments: ExpositionFormat.allCases)
  func tenThousandSeriesComeBack(format: ExpositionFormat) throws {
    let layout = HistogramLayout(upperBounds: [1_000_000, 1_000_000_000])
    defer { layout.deallocate() }
    let labels = (0..<10_000).map { Labels([("listener", "l\($0)"), ("direction", "in\"\\\n")]) }
    var exposition = Exposition(format: format)
    exposition.family(name: "test_events", type: .counter, help: "Events.")
    for (index, labels) in labels.enumerated() { exposition.sample(labels: labels, value: UInt64(index) << 40) }
    exposition.family(name: "test_wait_seconds", type: .histogram, unit: .seconds, help: "Waits.")
    for (index, labels) in labels.enumerated() {
      exposition.histogram(labels: labels, layout: layout, cells: [1, UInt64(index), 2, 3_000_000_000], at: 0)
    }

    let families = try parseExposition(exposition.finish(), format: format)
    #expect(families.map(\.name) == [format == .text ? "test_events_total" : "test_events", "test_wait_seconds"])
    try #require(families.map(\.samples.count) == [10_000, 50_000])
    var wrong = 0
    for index in 0..<10_000 {
      let labels = ["listener": "l\(index)", "direction": "in\"\\\n"]
      let counter = ParsedSample(name: "test_events_total", labels: labels, value: "\(UInt64(index) << 40)")
      if families[0].samples[index] != counter { wrong += 1 }
      let expected = [
        ("_bucket", "0.001", "1"), ("_bucket", "1.0", "\(index + 1)"), ("_bucket", "+Inf", "\(index + 3)"),
        ("_sum", nil, "3"), ("_count", nil, "\(index + 3)"),
      ].map { suffix, bound, value in
        var labels = labels
        labels["le"] = bound
        return ParsedSample(name: "test_wait_seconds" + suffix, labels: labels, value: value)
      }
      if Array(families[1].samples[(index * 5)..<(index * 5 + 5)]) != expected { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func cumulatedBucketsWrapInsteadOfTrapping() throws {
    var exposition = Exposition(format: .text)
    exposition.family(name: "test_wait_seconds", type: .histogram, unit: .seconds, help: "Waits.")
    let layout = HistogramLayout(upperBounds: [1])
    defer { layout.deallocate() }
    exposition.histogram(layout: layout, cells: [.max, 3, .max], at: 0)
    let samples = try parseExposition(exposition.finish(), format: .text)[0].samples
    #expect(samples.map(\.value) == ["18446744073709551615", "2", "18446744073.709551615", "2"])
  }
}
