// A memory limit as a container has one: a control group of its own, of whichever version the host keeps memory by.
// cgroups(7).

import Glibc
import Synchronization

package final class MemoryLimit: Sendable {
  /// The hierarchy that has the memory controller, and what its files are called.
  private struct Hierarchy {
    let root: String
    let limitFile: String
    /// Has a line "oom_kill COUNT".
    let eventsFile: String
    let peakFile: String
    /// Whether what sockets hold counts as well.
    let countsSockets: Bool
  }

  /// Why this process can't make groups; nil: it can.
  package static var obstacle: String? {
    do throws(HarnessError) {
      _ = try findHierarchy()
      return nil
    } catch {
      return error.description
    }
  }

  /// Version 1, which hosts in transition mount beside version 2, or version 2 in either of its places.
  private static func findHierarchy() throws(HarnessError) -> Hierarchy {
    let first = "/sys/fs/cgroup/memory"
    if Files.exists("\(first)/memory.oom_control") {
      guard access(first, W_OK) == 0 else { throw HarnessError("\(first) is not writable") }
      return Hierarchy(
        root: first, limitFile: "memory.limit_in_bytes", eventsFile: "memory.oom_control",
        peakFile: "memory.max_usage_in_bytes", countsSockets: false)
    }
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
      guard names("\(root)/cgroup.controllers").contains("memory") else { continue }
      guard access(root, W_OK) == 0 else { throw HarnessError("\(root) is not writable") }
      let control = "\(root)/cgroup.subtree_control"
      if !names(control).contains("memory") {
        do {
          try Files.write("+memory", to: control)
        } catch {
          throw HarnessError("\(control) doesn't have memory, and can't be given it: \(error)")
        }
      }
      return Hierarchy(
        root: root, limitFile: "memory.max", eventsFile: "memory.events", peakFile: "memory.peak", countsSockets: true)
    }
    throw HarnessError("no hierarchy of control groups has the memory controller")
  }

  private static func names(_ path: String) -> [String] {
    ((try? Files.read(path)) ?? "").split(whereSeparator: \.isWhitespace).map(String.init)
  }

  private static let count = Atomic<Int>(0)

  private let hierarchy: Hierarchy
  private let path: String

  /// - Parameters:
  ///   - bytes: for everything but the buffers of sockets.
  ///   - socketBytes: for those as well, where they count.
  package init(bytes: Int, socketBytes: Int) throws {
    hierarchy = try Self.findHierarchy()
    path = "\(hierarchy.root)/sidecar-test-\(getpid())-\(Self.count.add(1, ordering: .relaxed).newValue)"
    guard mkdir(path, 0o755) == 0 else { throw SystemCallError("mkdir \(path)") }
    let limit = hierarchy.countsSockets ? bytes + socketBytes : bytes
    try Files.write("\(limit)", to: "\(path)/\(hierarchy.limitFile)")
  }

  /// Empty by then: processes end with their own last reference.
  deinit { rmdir(path) }

  /// What to put in front of a command to run it under the limit.
  package var launcher: [String] { ["sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", "\(path)/cgroup.procs"] }

  /// How many of its processes the kernel has killed.
  package func killCount() throws -> Int {
    let lines = try Files.read("\(path)/\(hierarchy.eventsFile)").split(separator: "\n")
    let value = lines.first { $0.hasPrefix("oom_kill ") }?.split(separator: " ").last.flatMap { Int($0) }
    guard let value else { throw HarnessError("\(path)/\(hierarchy.eventsFile): \(lines)") }
    return value
  }

  /// The most that it has held at once; nil where the kernel doesn't note it (version 2 before Linux 5.19).
  package func peakBytes() throws -> Int? {
    guard let text = try? Files.read("\(path)/\(hierarchy.peakFile)") else { return nil }
    guard let bytes = Int(text.split(whereSeparator: \.isWhitespace).first ?? "") else { throw HarnessError(text) }
    return bytes
  }
}
