// What another process has in its memory, by proc_pid_mem(5). It takes root, or a process that may be dumped.

import Glibc

extension ChildProcess {
  /// How often each secret lies in the memory that the process can write to: heap, stacks, data.
  package func copiesInMemory(of secrets: [[UInt8]]) throws -> [Int] {
    let memory = try openToRead("/proc/\(pid)/mem")
    let pagemap = try openToRead("/proc/\(pid)/pagemap")
    defer {
      close(memory)
      close(pagemap)
    }
    var counts = secrets.map { _ in 0 }
    for range in try writableRanges() {
      for part in Self.touchedParts(of: range, pagemap) {
        var bytes = [UInt8](repeating: 0, count: part.count)
        // Less, or nothing, of memory that was given back since the look at it.
        let read = max(pread(memory, &bytes, bytes.count, off_t(part.lowerBound)), 0)
        for (index, secret) in secrets.enumerated() {
          counts[index] += bytes[..<read].withUnsafeBytes { Self.copies(of: secret, in: $0) }
        }
      }
    }
    return counts
  }

  private func openToRead(_ path: String) throws -> Int32 {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw SystemCallError("open \(path)") }
    return descriptor
  }

  /// From /proc/PID/maps: `start-end rw-p …`, in hexadecimal.
  private func writableRanges() throws -> [Range<UInt64>] {
    try Files.read("/proc/\(pid)/maps").split(separator: "\n").compactMap { line -> Range<UInt64>? in
      let fields = line.split(separator: " ", maxSplits: 2)
      let bounds = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
      guard bounds.count == 2, fields[1].hasPrefix("rw") else { return nil }
      return bounds[0]..<bounds[1]
    }
  }

  /// The pages of a range that have anything in them, by proc_pid_pagemap(5): of what is set aside for connections to
  /// come, a ten-thousandth.
  private static func touchedParts(of range: Range<UInt64>, _ pagemap: Int32) -> [Range<UInt64>] {
    let pageSize = UInt64(sysconf(Int32(_SC_PAGESIZE)))
    let nothing = [UInt64](repeating: 0, count: 65_536)
    var entries = nothing
    var parts: [Range<UInt64>] = []
    var start = range.lowerBound
    while start < range.upperBound {
      let count = min(entries.count, Int((range.upperBound - start) / pageSize))
      guard pread(pagemap, &entries, count * 8, off_t(start / pageSize * 8)) == count * 8 else { break }
      if memcmp(entries, nothing, count * 8) != 0 {
        // Bits 62 and 63: in the swap, in memory.
        for index in 0..<count where entries[index] >> 62 != 0 {
          let page = start + UInt64(index) * pageSize
          let first = parts.last?.upperBound == page ? parts.removeLast().lowerBound : page
          parts.append(first..<page + pageSize)
        }
      }
      start += UInt64(count) * pageSize
    }
    return parts
  }

  private static func copies(of secret: [UInt8], in part: UnsafeRawBufferPointer) -> Int {
    var count = 0
    var start = 0
    while part.count - start >= secret.count,
      let found = memchr(part.baseAddress! + start, Int32(secret[0]), part.count - start - secret.count + 1)
    {
      if memcmp(found, secret, secret.count) == 0 { count += 1 }
      start = UnsafeRawPointer(found) - part.baseAddress! + 1
    }
    return count
  }
}
