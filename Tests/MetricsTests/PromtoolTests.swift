// Goal: Prometheus's own linter is content with the text format: syntax, names, units, types and help.
// Method: a body with every type of family, hostile labels and the process metrics goes through `promtool check metrics`;
// a body with a known fault must be found, so that the check is known to check.

import Glibc
import Testing

@testable import Metrics

@Suite(
  .enabled(if: Promtool.path != nil || Promtool.isRequired, "promtool (Debian package prometheus) is not in PATH"))
struct PromtoolTests {
  @Test func everythingPasses() throws {
    let block = MetricBlock.allocate(cells: HistogramLayout.lifetime.cellCount)
    defer { block.deallocate() }
    for shift in 0..<60 { HistogramLayout.lifetime.record(nanoseconds: 1 << shift, in: block, at: 0) }

    var exposition = Exposition(format: .text)
    exposition.family(name: "test_received_bytes", type: .counter, unit: .bytes, help: "Bytes \\ \"received\"\nso far.")
    for text in ExpositionTests.hostileTexts { exposition.sample(labels: ["listener": text], value: UInt64.max) }
    exposition.family(name: "test_load", type: .gauge, help: "Numbers.")
    for (index, value) in [0.1, -2, 1e300, .infinity, -.infinity, .nan].enumerated() {
      exposition.sample(labels: ["index": String(index)], value: value)
    }
    exposition.family(name: "test_duration_seconds", type: .histogram, unit: .seconds, help: "Durations.")
    for name in ["in", "out"] {
      exposition.histogram(
        labels: ["listener": name], layout: .lifetime, cells: MetricBlock.sum(of: [block, block]), at: 0)
    }
    exposition.family(name: "test_build", type: .info, help: "Build.")
    exposition.info(labels: ["version": "1.0"])
    ProcessMetrics.write(into: &exposition)

    let result = try Promtool.check(exposition.finish())
    #expect(result.status == 0 && result.output.isEmpty, "\(result.output)")
  }

  @Test func aFaultIsFound() throws {
    #expect(try Promtool.check(Array("# TYPE a_total counter\na_total{x=\"1} 1\n".utf8)).status != 0)
  }
}

private enum Promtool {
  /// Set where the tools were promised: then a missing one fails the test instead of skipping it.
  static let isRequired = environment("SIDECAR_TEST_TOOLS") == "required"

  static let path: String? = environment("PATH").split(separator: ":").map { "\($0)/promtool" }
    .first { access($0, X_OK) == 0 }

  /// Runs the linter over a body: its wait status, 0 when it is content, and all that it printed.
  static func check(_ body: [UInt8]) throws -> (status: Int32, output: String) {
    let path = try #require(path, "promtool (Debian package prometheus) is required here but not in PATH")
    let file = try #require(tmpfile())
    defer { fclose(file) }
    try #require(fwrite(body, 1, body.count, file) == body.count && fflush(file) == 0)
    // Opening the file anew by this name starts at its first byte.
    let command = try #require(popen("'\(path)' check metrics </proc/\(getpid())/fd/\(fileno(file)) 2>&1", "r"))
    var output: [UInt8] = []
    while case let byte = getc(command), byte != EOF { output.append(UInt8(truncatingIfNeeded: byte)) }
    return (pclose(command), String(decoding: output, as: UTF8.self))
  }

  private static func environment(_ name: String) -> String {
    getenv(name).map { String(cString: $0) } ?? ""
  }
}
