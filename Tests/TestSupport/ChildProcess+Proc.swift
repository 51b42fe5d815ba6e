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

  /// Processor time of all its threads, in clock ticks of 10 ms.
  package func processorTicks() throws -> Int {
    let text = try Files.read("/proc/\(pid)/stat")
    // The name in parentheses may hold blanks; utime and stime are fields 14 and 15.
    guard let end = text.lastIndex(of: ")") else { throw HarnessError("/proc/\(pid)/stat: \(text)") }
    let fields = text[text.index(after: end)...].split(separator: " ")
    guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
      throw HarnessError("/proc/\(pid)/stat: \(text)")
    }
    return user + system
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
