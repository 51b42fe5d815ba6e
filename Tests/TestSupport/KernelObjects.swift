// What the kernel itself keeps for connections: its own objects, which no process's numbers show. slabinfo(5).

package enum KernelObjects {
  /// Sockets, their inodes, open files and half-open connections. Not those in TIME_WAIT, which stay for a minute.
  private static let kinds = ["TCP", "TCPv6", "request_sock_TCP", "sock_inode_cache", "filp"]

  /// How many there are on this machine, by kind: other processes' as well. Where the kernel doesn't show its slabs there
  /// are open files only.
  package static func counts() throws -> [String: Int] {
    var counts: [String: Int] = [:]
    // # name <active_objs> <num_objs> <objsize> …
    for line in ((try? Files.read("/proc/slabinfo")) ?? "").split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 2)
      if words.count > 1, kinds.contains(String(words[0])) { counts[String(words[0])] = Int(words[1]) }
    }
    // allocated, unused, most. proc_sys_fs(5).
    let files = try Files.read("/proc/sys/fs/file-nr").split(whereSeparator: \.isWhitespace)
    counts["files"] = files.first.flatMap { Int($0) }
    return counts
  }
}
