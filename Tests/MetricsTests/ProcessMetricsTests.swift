// Goal: the process metrics say what the kernel says of this process, whatever its name.
// Method: lines of /proc/[pid]/stat with hostile names; the metrics of this process before and after it opens descriptors,
// uses CPU and is asked for its limits by other means.

import Glibc
import Testing

@testable import Metrics

@Suite struct ProcessMetricsTests {
  @Test(arguments: ["sidecar-proxy", "a b", "a) S 1 (b", "((", "))", "", " ) R 9 9 9 9 "])
  func statIsReadWhateverTheName(name: String) {
    let fields = "S 1 5 5 0 -1 4194560 100 0 0 0 12 34 0 0 20 0 7 0 8765 123456789 321 18446744073709551615 1 1"
    let status = ProcessStatus(stat: Array("42 (\(name)) \(fields)\n".utf8))
    #expect(status?.threads == 7)
    #expect(status?.startTicks == 8765)
    #expect(status?.virtualBytes == 123_456_789)
    #expect(status?.residentPages == 321)
  }

  @Test(arguments: ["", "1 (a", "1 (a)", "1 (a) S 1 2 3", "1 (a) S" + String(repeating: " x", count: 30)])
  func anythingElseIsNoStat(line: String) {
    #expect(ProcessStatus(stat: Array(line.utf8)) == nil)
  }

  @Test(arguments: ExpositionFormat.allCases)
  func allStandardMetricsAreThere(format: ExpositionFormat) throws {
    #expect(
      try Set(processMetrics(format).keys) == [
        "process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes", "process_resident_memory_bytes", "process_start_time_seconds",
        "process_threads",
      ])
  }

  @Test func cpuTimeGrowsWithWork() throws {
    let before = try processMetric("process_cpu_seconds_total")
    // Until the kernel has charged this thread with 20 ms.
    let goal = threadCPUTime() + 20_000_000
    while threadCPUTime() < goal {}
    #expect(try processMetric("process_cpu_seconds_total") >= before + 0.02)
  }

  private func threadCPUTime() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  /// In a process of its own: other tests open and close descriptors all the time.
  @Test func openDescriptorsAreCounted() async {
    await #expect(processExitsWith: .success) {
      let before = try processMetric("process_open_fds")
      let opened = (0..<500).map { _ in dup(2) }
      let grown = try processMetric("process_open_fds")
      for descriptor in opened { close(descriptor) }
      let after = try processMetric("process_open_fds")
      #expect(opened.allSatisfy { $0 >= 0 })
      // The test's own runtime may open one or another meanwhile.
      #expect(abs(grown - before - 500) < 10)
      #expect(abs(after - before) < 10)
    }
  }

  /// The two ways of counting, of which the kernel's version chooses one, agree.
  @Test func bothWaysOfCountingDescriptorsAgree() async {
    await #expect(processExitsWith: .success) {
      // The test's own runtime may open one between the two.
      let agreed = (0..<1_000).contains { _ in
        let listed = ProcessMetrics.countOpenDescriptors()
        return listed != nil && listed == ProcessMetrics.openDescriptors()
      }
      #expect(agreed)
    }
  }

  @Test func limitsAreTheSoftOnes() throws {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    #expect(try processMetrics(.text)["process_max_fds"] == String(limit.rlim_cur))
  }

  @Test func memoryThreadsAndStartArePlausible() throws {
    let resident = try processMetric("process_resident_memory_bytes")
    #expect(resident > 1_048_576)
    #expect(try processMetric("process_virtual_memory_bytes") > resident)
    #expect(try processMetric("process_threads") >= 1)
    let start = try processMetric("process_start_time_seconds")
    #expect(start <= Double(time(nil)) + 1)
    // The start is a fact, not a difference of two clocks that is taken anew each time.
    #expect(try processMetric("process_start_time_seconds") == start)
  }
}

private func processMetrics(_ format: ExpositionFormat) throws -> [String: String] {
  var exposition = Exposition(format: format)
  ProcessMetrics.write(into: &exposition)
  let samples = try parseExposition(exposition.finish(), format: format).flatMap(\.samples)
  return Dictionary(uniqueKeysWithValues: samples.map { ($0.name, $0.value) })
}

private func processMetric(_ name: String) throws -> Double {
  guard let text = try processMetrics(.text)[name], let value = Double(text) else {
    throw ParseError(description: "\(name) is missing")
  }
  return value
}
