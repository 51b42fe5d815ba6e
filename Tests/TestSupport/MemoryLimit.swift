// A memory limit as a container has one: a control group of its own, of either version. cgroups(7).

import Glibc
import Synchronization

package final class MemoryLimit: Sendable {
  private let path: String
  private static let count = Atomic<Int>(0)

  /// The memory controller of version 1, which hosts in transition mount beside version 2.
  private static let root = "/sys/fs/cgroup/memory"

  /// Whether this process may make groups.
  package static var isAvailable: Bool { access(root, W_OK) == 0 }

  package init(bytes: Int) throws {
    path = "\(Self.root)/sidecar-test-\(getpid())-\(Self.count.add(1, ordering: .relaxed).newValue)"
    guard mkdir(path, 0o755) == 0 else { throw SystemCallError("mkdir \(path)") }
    try Files.write("\(bytes)", to: "\(path)/memory.limit_in_bytes")
  }

  /// Empty by then: processes end with their own last reference.
  deinit { rmdir(path) }

  /// What to put in front of a command to run it under the limit.
  package var launcher: [String] { ["sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", "\(path)/cgroup.procs"] }

  /// How many of its processes the kernel has killed.
  package func killCount() throws -> Int {
    let lines = try Files.read("\(path)/memory.oom_control").split(separator: "\n")
    let value = lines.first { $0.hasPrefix("oom_kill ") }?.split(separator: " ").last.flatMap { Int($0) }
    guard let value else { throw HarnessError("\(path)/memory.oom_control: \(lines)") }
    return value
  }

  package func peakBytes() throws -> Int {
    let text = try Files.read("\(path)/memory.max_usage_in_bytes")
    guard let bytes = Int(text.split(whereSeparator: \.isWhitespace).first ?? "") else { throw HarnessError(text) }
    return bytes
  }
}
