// How many CPUs the process may use, which is how many workers `workers: auto` starts. Read once at start, from the
// kernel's own files, so that a test can put a directory in their place.

/// What the affinity mask and the cgroup quota leave to this process.
public struct CPUBudget: Sendable, Equatable {
  /// CPUs in the affinity mask: cpusets and taskset(1) narrow it.
  public var affinity: Int
  /// CPU seconds per second that the tightest cgroup quota on the way to the root grants; nil: no quota.
  public var quota: Double?

  /// One worker per usable CPU; a fraction of a CPU rounds up, because rounding 1.5 down would leave a third of what
  /// was paid for idle, while a throttled worker still gets all of its share.
  public var workers: Int {
    let granted = quota.map { max(1, Int($0.rounded(.up))) } ?? affinity
    return min(max(1, min(affinity, granted)), Configuration.Workers.countMax)
  }

  /// - Parameter root: where `proc` and `sys` are; another directory in tests.
  public static func read(root: String = "") -> CPUBudget {
    let status = TextFile.read(root + "/proc/self/status") ?? ""
    let affinity = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
      .map { cpuCount(list: $0.drop { $0 != "\t" }) }
    return CPUBudget(affinity: max(1, affinity ?? 1), quota: quota(root: root))
  }

  /// The number of CPUs in a list such as `0-3,8`. cpuset(7), "List format".
  static func cpuCount(list: some StringProtocol) -> Int {
    list.split { $0 == "," || $0.isWhitespace }.reduce(0) { sum, part in
      let bounds = part.split(separator: "-").compactMap { Int($0) }
      guard let first = bounds.first, let last = bounds.last, last >= first else { return sum }
      return sum + last - first + 1
    }
  }

  /// The tightest quota of both cgroup versions: hosts in transition mount both.
  private static func quota(root: String) -> Double? {
    let memberships = TextFile.read(root + "/proc/self/cgroup") ?? ""
    var quotas: [Double] = []
    for line in memberships.split(separator: "\n") {
      // hierarchy-ID:controller-list:path. cgroups(7).
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      if fields[0] == "0" {
        for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
          quotas += ancestors(of: fields[2]).compactMap { quotaV2(root + mount + $0) }
        }
      } else if fields[1].split(separator: ",").contains("cpu") {
        for mount in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
          quotas += ancestors(of: fields[2]).compactMap { quotaV1(root + mount + $0) }
        }
      }
    }
    return quotas.min()
  }

  /// `/a/b` → `/a/b`, `/a` and the mount itself. A container that shares the host's cgroup namespace sees a path that
  /// isn't mounted there: then the mount itself is its own group.
  private static func ancestors(of path: Substring) -> [String] {
    var parts = path.split(separator: "/")
    var paths: [String] = []
    while !parts.isEmpty {
      paths.append("/" + parts.joined(separator: "/"))
      parts.removeLast()
    }
    return paths + [""]
  }

  /// cpu.max: `quota period` in microseconds, or `max period`. Kernel documentation, cgroup-v2, "CPU Interface Files".
  private static func quotaV2(_ group: String) -> Double? {
    let numbers = (TextFile.read(group + "/cpu.max") ?? "").split { $0.isWhitespace }.compactMap { Double($0) }
    guard numbers.count == 2, numbers[0] > 0, numbers[1] > 0 else { return nil }
    return numbers[0] / numbers[1]
  }

  /// cpu.cfs_quota_us is -1 where there is no quota.
  private static func quotaV1(_ group: String) -> Double? {
    guard let quota = number(group + "/cpu.cfs_quota_us"), let period = number(group + "/cpu.cfs_period_us"),
      quota > 0, period > 0
    else { return nil }
    return quota / period
  }

  private static func number(_ path: String) -> Double? {
    TextFile.read(path).flatMap { $0.split { $0.isWhitespace }.first }.flatMap { Double($0) }
  }
}
