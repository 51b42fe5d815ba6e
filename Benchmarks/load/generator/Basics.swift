// Small things that every load needs: the clock, addresses on loopback, errors, and results as JSON.

import ArgumentParser
import Glibc
import IOUring

/// CLOCK_MONOTONIC, the clock of the ring's deadlines.
func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Has the first thread, a load's only one, wake when a deadline comes and not up to 50 µs later, which is as much as a
/// proxy adds to a round trip. PR_SET_TIMERSLACK of prctl(2), by way of proc_pid_timerslack_ns(5).
func useExactTimers() throws {
  guard let file = fopen("/proc/self/timerslack_ns", "w") else {
    throw LoadError("timerslack_ns: \(errorText(-errno))")
  }
  fputs("1", file)
  guard fclose(file) == 0 else { throw LoadError("timerslack_ns: \(errorText(-errno))") }
}

/// The words for `-errno`.
func errorText(_ result: some BinaryInteger) -> String { String(cString: strerror(-Int32(result))) }

/// Why there is no result. The harness ends with it.
struct LoadError: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}

/// An IPv4 address and port, in memory that lives as long as the process, as submitted connects demand.
struct LoopbackAddress: ExpressibleByArgument {
  let pointer: UnsafeMutableRawPointer
  let length = UInt32(MemoryLayout<sockaddr_in>.size)

  /// - Parameter argument: such as `127.0.0.1:9000`.
  init?(argument: String) {
    let parts = argument.split(separator: ":")
    guard parts.count == 2, let port = UInt16(parts[1]) else { return nil }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard inet_pton(AF_INET, String(parts[0]), &address.sin_addr) == 1 else { return nil }
    pointer = .allocate(byteCount: MemoryLayout<sockaddr_in>.size, alignment: 8)
    pointer.storeBytes(of: address, as: sockaddr_in.self)
  }

  /// A listening socket with room for every connection of a load in its queue.
  func listen() throws -> Descriptor {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, UInt32(MemoryLayout<Int32>.size))
    guard bind(descriptor, pointer.assumingMemoryBound(to: sockaddr.self), length) == 0,
      Glibc.listen(descriptor, 4_096) == 0
    else { throw LoadError("listen: \(errorText(-errno))") }
    StreamOptions.apply(to: Descriptor(rawValue: descriptor))
    return Descriptor(rawValue: descriptor)
  }
}

/// One line of JSON on standard output, built in order.
struct ResultLine {
  private var members: [String] = []

  mutating func add(_ name: String, _ value: some BinaryInteger) { members.append("\"\(name)\": \(value)") }
  mutating func add(_ name: String, _ value: Double) { members.append("\"\(name)\": \(value)") }
  mutating func add(_ name: String, raw json: String) { members.append("\"\(name)\": \(json)") }

  func print() {
    Swift.print("{\(members.joined(separator: ", "))}")
    fflush(nil)
  }
}
