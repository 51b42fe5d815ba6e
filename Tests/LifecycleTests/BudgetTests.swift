// Goal: workers and connections are as many as the host really grants. Method: the kernel's files are played by a
// directory of the test's own.

import Glibc
import Testing

@testable import ProxyCore

/// A directory with files in it, gone with the value.
final class FakeRoot {
  let path: String

  init(_ files: [String: String]) throws {
    var template = Array("/tmp/lifecycle-tests-XXXXXX".utf8CString)
    path = try #require(mkdtemp(&template).map { String(cString: $0) })
    for (name, content) in files { try write(name, content) }
  }

  func write(_ name: String, _ content: String) throws {
    var directory = path
    for part in name.split(separator: "/").dropLast() {
      directory += "/" + part
      mkdir(directory, 0o700)
    }
    let file = open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    try #require(file >= 0)
    defer { close(file) }
    #expect(content.utf8.count == Array(content.utf8).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) })
  }

  deinit { remove(path) }

  private func remove(_ path: String) {
    // unlink(2) refuses directories, rmdir(2) full ones.
    if unlink(path) == 0 { return }
    if let directory = opendir(path) {
      while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name != "." && name != ".." { remove(path + "/" + name) }
      }
      closedir(directory)
    }
    rmdir(path)
  }
}

@Suite("CPU budget")
struct CPUBudgetTests {
  private func budget(_ files: [String: String]) throws -> CPUBudget {
    let root = try FakeRoot(files)
    return withExtendedLifetime(root) { CPUBudget.read(root: root.path) }
  }

  private let eightCPUs = ["proc/self/status": "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n"]

  @Test(
    "A list of CPUs is counted",
    arguments: [("0", 1), ("0-3", 4), ("0-3,8,10-11", 7), (" 0-1\n", 2), ("", 0), ("3-1", 0), ("x", 0)])
  func list(text: String, count: Int) {
    #expect(CPUBudget.cpuCount(list: text) == count)
  }

  @Test("Without a quota the affinity mask decides")
  func affinity() throws {
    let budget = try budget(eightCPUs)
    #expect(budget == CPUBudget(affinity: 8, quota: nil))
    #expect(budget.workers == 8)
  }

  @Test("Nothing readable is one worker")
  func nothing() throws {
    #expect(try budget([:]).workers == 1)
  }

  @Test(
    "cgroup v2's quota rounds up",
    arguments: [
      ("max 100000", 8), ("100000 100000", 1), ("150000 100000", 2), ("10000 100000", 1), ("", 8), ("0 0", 8),
    ])
  func quotaV2(text: String, workers: Int) throws {
    let files = ["proc/self/cgroup": "0::/pod/app\n", "sys/fs/cgroup/pod/app/cpu.max": text + "\n"]
    #expect(try budget(eightCPUs.merging(files) { $1 }).workers == workers)
  }

  @Test("A parent group's tighter quota holds")
  func parentQuota() throws {
    let files = [
      "proc/self/cgroup": "0::/pod/app\n", "sys/fs/cgroup/pod/app/cpu.max": "400000 100000\n",
      "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
    ]
    #expect(try budget(eightCPUs.merging(files) { $1 }).workers == 3)
  }

  @Test("cgroup v1, with the path that a container doesn't see mounted at the root")
  func quotaV1() throws {
    let files = [
      "proc/self/cgroup": "5:cpu,cpuacct:/kubepods/pod1/app\n0::/\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    ]
    #expect(try budget(eightCPUs.merging(files) { $1 }).workers == 3)
  }

  @Test("cgroup v1's -1 is no quota")
  func noQuotaV1() throws {
    let files = [
      "proc/self/cgroup": "5:cpu:/\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    ]
    #expect(try budget(eightCPUs.merging(files) { $1 }).workers == 8)
  }
}

@Suite("Descriptor budget")
struct DescriptorBudgetTests {
  @Test(
    "Connections get two descriptors each of what is left, and pipes a sixteenth of it",
    arguments: [1_024, 20_000, 500_000])
  func share(limit: Int) {
    let budget = DescriptorBudget(limit: limit, workers: 2, listeners: 2)
    let pipes = budget.pipesMax(beside: budget.connectionsMax)
    let left = limit - budget.reserve
    #expect((left - 3...left).contains(2 * budget.connectionsMax + 2 * pipes))
    #expect((left / 16 - 2...left / 16 + 2).contains(2 * pipes))
  }

  @Test("20,000 open files allow nine thousand connections")
  func twentyThousand() {
    #expect(DescriptorBudget(limit: 20_000, workers: 1, listeners: 2).connectionsMax >= 9_250)
  }

  @Test("Workers have room for so many, whatever open files allow")
  func slots() {
    #expect(DescriptorBudget(limit: 1_048_576, workers: 1, listeners: 2).connectionsMax == DescriptorBudget.slotsMax)
    let eight = DescriptorBudget(limit: 1_048_576, workers: 8, listeners: 2)
    #expect(eight.connectionsMax > 3 * DescriptorBudget.slotsMax)
  }

  @Test("Too few for a start are told, with how many it takes")
  func obstacle() {
    let few = DescriptorBudget(limit: 24, workers: 1, listeners: 1)
    #expect(few.obstacle?.contains("24 open files are not enough for 1 worker; raise the limit") == true)
    #expect(few.obstacle?.contains("to 25 at the least") == true)
    #expect(DescriptorBudget(limit: 25, workers: 1, listeners: 1).obstacle == nil)
  }

  @Test("What fewer connections don't need is for pipes")
  func fewer() {
    let budget = DescriptorBudget(limit: 1_024, workers: 2, listeners: 2)
    #expect(budget.pipesMax(beside: 100) == (1_024 - budget.reserve - 200) / 2)
  }

  @Test("A limit below the reserve still allows one connection, and no pipe")
  func tiny() {
    let budget = DescriptorBudget(limit: 64, workers: 2, listeners: 2)
    #expect(budget.connectionsMax == 1)
    #expect(budget.pipesMax(beside: 1) == 0)
  }
}
