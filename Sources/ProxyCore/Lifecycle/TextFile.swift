// Small text files of the kernel: /proc and cgroups. Read whole; a file that isn't there is an answer, not an error.

import Glibc

enum TextFile {
  /// Enough for any file that this reads: /proc/self/status is about 1.5 KiB, longer on hosts with many CPUs.
  private static let bytesMax = 65_536

  /// - Returns: nil when the file can't be read.
  static func read(_ path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4_096)
    while bytes.count < bytesMax {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
