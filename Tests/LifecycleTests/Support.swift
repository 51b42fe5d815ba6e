// What several tests of the life cycle share.

import Glibc

@testable import ProxyCore

/// Asks again until the answer is yes. The limit is for broken builds only: it is far beyond what any answer takes.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
  let deadline = Clocks.monotonicNanoseconds + 20_000_000_000
  while Clocks.monotonicNanoseconds < deadline {
    if try condition() { return true }
    // Lets the threads that are waited for run; two cores may be shared by many tests.
    usleep(2_000)
  }
  return false
}

extension TextFile {
  /// Files of any size.
  static func readAll(_ path: String) -> String? {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = Glibc.read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }
}
