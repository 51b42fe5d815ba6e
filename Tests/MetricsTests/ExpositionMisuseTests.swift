// Goal: an exposition that Prometheus would reject as a whole is found by the first test that makes it, not in production.
// Method: each mistake that only our own code can make ends the process.

import Testing

@testable import Metrics

@Suite struct ExpositionMisuseTests {
  @Test func theSameSeriesTwice() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .gauge, help: "A.")
      exposition.sample(labels: ["x": "1", "y": "2"], value: 1)
      exposition.sample(labels: ["y": "2", "x": "1"], value: 1)
    }
  }

  /// The same labels in two families are no mistake, and neither is the end of one family.
  @Test func theSameLabelsInTwoFamilies() {
    var exposition = Exposition(format: .text)
    for name in ["a", "b"] {
      exposition.family(name: name, type: .gauge, help: "Help.")
      exposition.sample(labels: ["x": "1"], value: 1)
    }
    #expect(String(decoding: exposition.finish(), as: UTF8.self).hasSuffix("b{x=\"1\"} 1\n"))
  }

  @Test func theSameFamilyTwice() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .gauge, help: "A.")
      exposition.family(name: "b", type: .gauge, help: "B.")
      exposition.family(name: "a", type: .gauge, help: "A.")
    }
  }

  @Test func aFamilyNamedLikeAnothersSample() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .histogram, help: "A.")
      exposition.family(name: "a_count", type: .gauge, help: "B.")
    }
  }

  @Test func aSampleWithoutItsFamily() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.sample(value: 1)
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .histogram, help: "A.")
      exposition.sample(value: 1)
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .gauge, help: "A.")
      exposition.info(labels: ["x": "1"])
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .gauge, help: "A.")
      exposition.histogram(layout: .latency, cells: [UInt64](repeating: 0, count: 99), at: 0)
    }
  }

  @Test func aHistogramOutsideItsCells() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .histogram, help: "A.")
      let cells = [UInt64](repeating: 0, count: HistogramLayout.latency.cellCount)
      exposition.histogram(layout: .latency, cells: cells, at: 1)
    }
  }

  @Test func aCounterBelowZeroOrNotANumber() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .counter, help: "A.")
      exposition.sample(value: -1)
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .counter, help: "A.")
      exposition.sample(value: Double.nan)
    }
  }

  @Test func badNames() async {
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "1a", type: .gauge, help: "A.")
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a_total", type: .counter, help: "A.")
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a", type: .counter, unit: .bytes, help: "A.")
    }
    await #expect(processExitsWith: .failure) {
      var exposition = Exposition(format: .text)
      exposition.family(name: "a_bytes", type: .info, unit: .bytes, help: "A.")
    }
    await #expect(processExitsWith: .failure) { _ = Labels([("a-b", "")]) }
    await #expect(processExitsWith: .failure) { _ = Labels([("le", "")]) }
    await #expect(processExitsWith: .failure) { _ = Labels([("__name__", "")]) }
    await #expect(processExitsWith: .failure) { _ = Labels([("", "")]) }
    await #expect(processExitsWith: .failure) { _ = Labels([("a", "1"), ("b", ""), ("a", "2")]) }
  }
}
