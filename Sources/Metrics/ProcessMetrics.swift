// The `process_*` metrics that every Prometheus client library exposes, under their customary names. The admin thread
// writes them into each scrape.

import Glibc

/// The present process as the kernel sees it: CPU, memory, descriptors, threads, start.
public enum ProcessMetrics {
  /// Writes one family per metric. What the kernel won't tell, for instance where /proc is not mounted, is left out.
  public static func write(into exposition: inout Exposition) {
    if let cpuTime = nanoseconds(on: CLOCK_PROCESS_CPUTIME_ID) {
      // Not utime and stime of /proc/self/stat, which count in ticks of 10 ms.
      exposition.family(
        name: "process_cpu_seconds", type: .counter, unit: .seconds,
        help: "Total user and system CPU time spent in seconds.")
      exposition.sample(nanoseconds: cpuTime)
    }
    if let count = openDescriptors() {
      exposition.family(name: "process_open_fds", type: .gauge, help: "Number of open file descriptors.")
      exposition.sample(value: count)
    }
    if let limit = softLimit(RLIMIT_NOFILE) {
      exposition.family(name: "process_max_fds", type: .gauge, help: "Maximum number of open file descriptors.")
      exposition.sample(value: limit)
    }
    if let limit = softLimit(RLIMIT_AS) {
      exposition.family(
        name: "process_virtual_memory_max_bytes", type: .gauge, unit: .bytes,
        help: "Maximum amount of virtual memory available in bytes.")
      exposition.sample(value: limit)
    }
    if let status = read("/proc/self/stat").flatMap({ ProcessStatus(stat: $0) }) {
      write(status, into: &exposition)
    }
  }

  private static func write(_ status: ProcessStatus, into exposition: inout Exposition) {
    exposition.family(
      name: "process_virtual_memory_bytes", type: .gauge, unit: .bytes, help: "Virtual memory size in bytes.")
    exposition.sample(value: status.virtualBytes)
    exposition.family(
      name: "process_resident_memory_bytes", type: .gauge, unit: .bytes, help: "Resident memory size in bytes.")
    exposition.sample(value: status.residentPages &* UInt64(sysconf(Int32(_SC_PAGESIZE))))
    exposition.family(name: "process_threads", type: .gauge, help: "Number of threads in the process.")
    exposition.sample(value: status.threads)
    if let bootTime {
      exposition.family(
        name: "process_start_time_seconds", type: .gauge, unit: .seconds,
        help: "Start time of the process since unix epoch in seconds.")
      let ticksPerSecond = UInt64(sysconf(Int32(_SC_CLK_TCK)))
      exposition.sample(nanoseconds: bootTime &+ status.startTicks &* (1_000_000_000 / ticksPerSecond))
    }
  }

  /// When the machine booted, in nanoseconds since the epoch. Looked up once: the start time would otherwise move with
  /// each step of the wall clock, and a changed start time means a restart to who watches it.
  private static let bootTime: UInt64? = {
    guard let now = nanoseconds(on: CLOCK_REALTIME), let uptime = nanoseconds(on: CLOCK_BOOTTIME), now > uptime else {
      return nil
    }
    return now - uptime
  }()

  private static func nanoseconds(on clock: clockid_t) -> UInt64? {
    var time = timespec()
    guard clock_gettime(clock, &time) == 0 else { return nil }
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// The soft limit of a resource; no limit is the largest number, as other client libraries have it.
  private static func softLimit(_ resource: __rlimit_resource) -> UInt64? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
    return UInt64(limit.rlim_cur)
  }

  static func openDescriptors() -> Int? {
    // Linux 6.2 and newer tell the number as the directory's size; older ones say 0, and all of it has to be read.
    var status = stat()
    if stat("/proc/self/fd", &status) == 0, status.st_size > 0 { return Int(status.st_size) }
    return countOpenDescriptors()
  }

  /// Counts the entries of /proc/self/fd, which any kernel has.
  static func countOpenDescriptors() -> Int? {
    guard let directory = opendir("/proc/self/fd") else { return nil }
    defer { closedir(directory) }
    var entries = 0
    while readdir(directory) != nil { entries += 1 }
    // `.`, `..`, and the descriptor of the directory itself.
    return entries - 3
  }

  /// The content of a small file of /proc, which one read(2) returns whole.
  private static func read(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    // The line has 52 numbers of 20 digits at most and a name of 64 bytes at most.
    let content = [UInt8](unsafeUninitializedCapacity: 2048) { buffer, count in
      count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
    }
    return content.isEmpty ? nil : content
  }
}

/// What is used of /proc/self/stat, see proc_pid_stat(5).
struct ProcessStatus: Equatable {
  let threads: UInt64
  /// Ticks (sysconf(_SC_CLK_TCK) a second) from boot to the start of the process.
  let startTicks: UInt64
  let virtualBytes: UInt64
  let residentPages: UInt64

  /// Reads the line of the file, or returns nil when it is not in that form.
  init?(stat line: [UInt8]) {
    // The name in the second field may hold spaces and parentheses: the fields go on after the last `)`.
    guard let nameEnd = line.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = line[(nameEnd + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
    /// A field by its number in the manual page; the first after the name is the third.
    func field(_ number: Int) -> UInt64? {
      number - 3 < fields.count ? UInt64(String(decoding: fields[number - 3], as: UTF8.self)) : nil
    }
    guard let threads = field(20), let start = field(22), let size = field(23), let resident = field(24) else {
      return nil
    }
    self.threads = threads
    startTicks = start
    virtualBytes = size
    residentPages = resident
  }
}
