// The stretch of time that counts: after a warm-up, for a fixed time, with the CPU time of the observed processes read
// at its very beginning and end. Every load has one.

import ArgumentParser
import Glibc

/// Options that all loads share.
struct WindowOptions: ParsableArguments {
  @Option(help: "Where the origin or the proxy before it listens.")
  var to: LoopbackAddress

  @Option(help: "Seconds that are measured.")
  var seconds = 1.0

  @Option(help: "Seconds of the same load before that.")
  var warmUp = 0.2

  @Option(help: "Processes whose CPU time and memory are reported, such as the proxy's.")
  var observe: [Int32] = []
}

/// Times the phases of a load and counts its work.
struct Window {
  private enum Phase { case warmUp, measuring, over }

  private var phase = Phase.warmUp
  private let begin: UInt64
  private let length: UInt64
  private var end: UInt64
  private let observe: [Int32]
  /// Of the observed processes, in their order: at the beginning of the window, and within all of it.
  private var cpuAtBegin: [UInt64] = []
  private var cpuSpent: [UInt64] = []
  private var measuredFrom: UInt64 = 0
  private var measuredNanoseconds: UInt64 = 0
  private var ownCPU: UInt64 = 0
  /// Units of work that were done within the window.
  private(set) var count = 0
  /// Where others count them instead, and what stood there when the window began.
  private let elsewhere: SharedCount?
  private var elsewhereAtBegin: UInt64 = 0
  private let readsMemoryAtEnd: Bool
  private var memory: [(resident: Int, anonymous: Int)] = []

  /// Begins with the warm-up, now.
  ///
  /// - Parameters:
  ///   - elsewhere: what counts in place of `add`.
  ///   - readsMemoryAtEnd: at the end of the window, under load, and not in `report`: for loads in which nothing is timed
  ///     any more by then. Reading memory takes longer than a message.
  init(_ options: WindowOptions, countedBy elsewhere: SharedCount? = nil, readsMemoryAtEnd: Bool = true) {
    self.elsewhere = elsewhere
    self.readsMemoryAtEnd = readsMemoryAtEnd
    begin = monotonicNanoseconds() + UInt64(options.warmUp * 1e9)
    length = UInt64(options.seconds * 1e9)
    end = begin + length
    observe = options.observe
  }

  /// When `isOver` may change for the better.
  var deadline: UInt64 { phase == .warmUp ? begin : end }
  var isMeasuring: Bool { phase == .measuring }

  /// Whether a moment lies within the window, which may be over.
  func covers(_ moment: UInt64) -> Bool { phase != .warmUp && moment >= measuredFrom && moment < end }

  /// Looks at the clock; called once per turn.
  /// - Returns: whether the load goes on.
  mutating func goesOn() throws -> Bool {
    let now = monotonicNanoseconds()
    if phase == .warmUp, now >= begin {
      phase = .measuring
      measuredFrom = now
      // Where the machine slept through the end of the warm-up, too.
      end = now + length
      elsewhereAtBegin = elsewhere?.value ?? 0
      ownCPU = try Window.cpuNanoseconds(getpid())
      cpuAtBegin = try observe.map(Window.cpuNanoseconds)
    } else if phase == .measuring, now >= end {
      phase = .over
      cpuSpent = try zip(observe, cpuAtBegin).map { process, before in try Window.cpuNanoseconds(process) - before }
      ownCPU = try Window.cpuNanoseconds(getpid()) - ownCPU
      measuredNanoseconds = now - measuredFrom
      if let elsewhere { count = Int(elsewhere.value - elsewhereAtBegin) }
      if readsMemoryAtEnd { memory = observe.map(Window.memory) }
    }
    return phase != .over
  }

  /// Work that was done just now.
  mutating func add(_ units: Int = 1) {
    if phase == .measuring, elsewhere == nil { count += units }
  }

  /// What the window saw, with the memory of the observed processes. Throws if that is nothing. To be asked when no reply is
  /// due any more.
  func report(_ unit: String) throws -> ResultLine {
    guard count > 0 else {
      throw LoadError("no progress: nothing came through in \(measuredNanoseconds / 1_000_000) ms")
    }
    var line = ResultLine()
    line.add("unit", raw: "\"\(unit)\"")
    line.add("count", count)
    line.add("seconds", Double(measuredNanoseconds) / 1e9)
    let memory = readsMemoryAtEnd ? self.memory : observe.map(Window.memory)
    let observed = observe.indices.map { index in
      let (process, spent, memory) = (observe[index], cpuSpent[index], memory[index])
      return "{\"process\": \(process), \"cpuNanoseconds\": \(spent), \"residentBytes\": \(memory.resident), "
        + "\"anonymousBytes\": \(memory.anonymous)}"
    }
    line.add("observed", raw: "[\(observed.joined(separator: ", "))]")
    line.add("generatorCPUNanoseconds", ownCPU)
    return line
  }

  /// CPU time of a process with all threads it has and had, those of io_uring included. clock_getcpuclockid(3).
  private static func cpuNanoseconds(_ process: Int32) throws -> UInt64 {
    var clock = clockid_t()
    var time = timespec()
    guard clock_getcpuclockid(process, &clock) == 0, clock_gettime(clock, &time) == 0 else {
      throw LoadError("process \(process) is gone")
    }
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Bytes by /proc/PID/statm, whose second field counts resident pages and whose third those of them that are of files or
  /// shared; zero for a process that is gone. proc_pid_statm(5).
  private static func memory(_ process: Int32) -> (resident: Int, anonymous: Int) {
    guard let file = fopen("/proc/\(process)/statm", "r") else { return (0, 0) }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 256)
    guard fgets(&text, Int32(text.count), file) != nil else { return (0, 0) }
    let pages = text.prefix { $0 != 0 }.split(separator: CChar(UInt8(ascii: " "))).map {
      Int(String(decoding: $0.map(UInt8.init(bitPattern:)), as: UTF8.self)) ?? 0
    }
    guard pages.count > 2 else { return (0, 0) }
    let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
    return (pages[1] * pageBytes, (pages[1] - pages[2]) * pageBytes)
  }
}
