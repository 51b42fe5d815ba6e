// What the kernel knows about a running process, from /proc; see proc(5).

import CTestSupport
import Glibc

extension ChildProcess {
  /// What its descriptors lead to: `socket:[4711]`, `pipe:[…]`, `anon_inode:[io_uring]`, paths.
  package func descriptors() throws -> [String] {
    // A descriptor that is closed between the listing and the look at it is not open.
    try Files.list("/proc/\(pid)/fd").compactMap { try? Files.target(ofLink: "/proc/\(pid)/fd/\($0)") }
  }

  /// Open descriptors by kind, `socket`, `pipe`, `anon_inode` and `file`.
  package func descriptorCounts() throws -> [String: Int] {
    let kinds = try descriptors().map { link in
      link.hasPrefix("/") ? "file" : String(link.prefix { $0 != ":" })
    }
    return Dictionary(kinds.map { ($0, 1) }, uniquingKeysWith: +)
  }

  /// How long each of its threads has been runnable so far: running, or waiting for a processor. On a busy machine the
  /// second part shows a loop that spins, whatever share of a processor it gets.
  package func runnableTimes() throws -> [String: Duration] {
    var times: [String: Duration] = [:]
    for thread in try Files.list("/proc/\(pid)/task") {
      let fields = try Files.read("/proc/\(pid)/task/\(thread)/schedstat").split(whereSeparator: \.isWhitespace)
      guard fields.count == 3, let running = Int64(fields[0]), let waiting = Int64(fields[1]) else {
        throw HarnessError("/proc/\(pid)/task/\(thread)/schedstat: \(fields)")
      }
      times[thread] = .nanoseconds(running + waiting)
    }
    return times
  }

  /// Resident memory in bytes: all of it, and the part that no file backs.
  package func residentMemory() throws -> (total: Int, anonymous: Int) {
    let text = try Files.read("/proc/\(pid)/smaps_rollup")
    let kilobytes = { (name: String) in
      text.split(separator: "\n").first { $0.hasPrefix("\(name):") }
        .flatMap { Int($0.split(separator: " ")[1]) }
    }
    guard let total = kilobytes("Rss"), let anonymous = kilobytes("Anonymous") else {
      throw HarnessError("/proc/\(pid)/smaps_rollup: \(text)")
    }
    return (total * 1_024, anonymous * 1_024)
  }

  /// Sets the soft limit on the process's open files while it runs.
  /// - Returns: the limit before.
  @discardableResult
  package func limitOpenFiles(to limit: Int) throws -> Int {
    let resource = Int32(RLIMIT_NOFILE.rawValue)
    var limits = testsupport_rlimit64()
    guard prlimit64(pid, resource, nil, &limits) == 0 else { throw SystemCallError("prlimit") }
    let before = Int(limits.soft)
    // The hard limit stays: lowered, it could not be raised again without CAP_SYS_RESOURCE.
    limits.soft = UInt64(limit)
    guard prlimit64(pid, resource, &limits, nil) == 0 else { throw SystemCallError("prlimit") }
    return before
  }
}
