// Goal: a log file never grows beyond its size, there are never more files than asked for, and no line is lost that
// the disk takes. Method: the file itself, without its thread, in a directory that the test tampers with.

import Glibc
import Testing

@testable import ProxyCore

@Suite("Access log rotation")
struct AccessLogRotationTests {
  private let root: FakeRoot
  private var path: String { root.path + "/access.log" }

  init() throws { root = try FakeRoot([:]) }

  private func open(maxSize: ByteSize? = .kibibytes(64), maxFiles: Int = 3) throws -> AccessLogFile {
    try AccessLogFile(AccessLogFile.open(path), .init(path: path, format: .text, maxSize: maxSize, maxFiles: maxFiles))
  }

  /// A batch of lines of 1 KiB each that all carry its number.
  private func batch(_ number: Int, lines: Int = 16) -> [UInt8] {
    let text = "\(number)"
    let line = text + String(repeating: ".", count: 1_023 - text.count) + "\n"
    return Array(String(repeating: line, count: lines).utf8)
  }

  /// The numbers of the batches in a file, in their order; nil: there is no file.
  private func batches(_ suffix: String = "") -> [Int]? {
    guard let text = TextFile.readAll(path + suffix) else { return nil }
    return text.split(separator: "\n").map { Int($0.prefix { $0 != "." }) ?? -1 }.enumerated()
      .filter { $0.offset % 16 == 0 }.map(\.element)
  }

  @Test("Full files move on by one, the oldest goes, and none is larger than it may be")
  func rotates() throws {
    var file = try open()
    for number in 0..<14 { #expect(file.append(batch(number)) == nil) }
    #expect(batches() == [12, 13])
    #expect(batches(".1") == [8, 9, 10, 11])
    #expect(batches(".2") == [4, 5, 6, 7])
    #expect(batches(".3") == nil)
    #expect(file.rotations == .init(succeeded: 3, failed: 0))
  }

  @Test("A file that ends inside a line leaves no empty one at the beginning of the next")
  func endsInsideLine() throws {
    var file = try open()
    for number in 0..<4 { _ = file.append(batch(number)) }
    file.endsInsideLine = true
    #expect(file.append(batch(4)) == nil)
    #expect(TextFile.readAll(path)?.first == "4")
  }

  @Test("A file that is exactly full is rotated by the next line, not before")
  func exactlyFull() throws {
    var file = try open()
    for number in 0..<4 { _ = file.append(batch(number)) }
    #expect(batches(".1") == nil)
    #expect(file.append(Array("x\n".utf8)) == nil)
    #expect(batches(".1") == [0, 1, 2, 3])
    #expect(TextFile.readAll(path) == "x\n")
  }

  @Test("What was there at the start counts")
  func existing() throws {
    do {
      var file = try open()
      for number in 0..<4 { _ = file.append(batch(number)) }
    }
    var file = try open()
    #expect(file.append(batch(4)) == nil)
    #expect(batches() == [4])
    #expect(batches(".1") == [0, 1, 2, 3])
  }

  @Test("A batch beyond the size of a file gets one of its own")
  func large() throws {
    var file = try open()
    for number in 0..<3 { #expect(file.append(batch(number, lines: 80)) == nil) }
    #expect(file.rotations.succeeded == 2)
    #expect(TextFile.readAll(path)?.utf8.count == 80 << 10)
  }

  @Test("Without a limit nothing is rotated")
  func unlimited() throws {
    var file = try open(maxSize: nil)
    for number in 0..<20 { #expect(file.append(batch(number)) == nil) }
    #expect(batches() == Array(0..<20))
    #expect(batches(".1") == nil)
  }

  @Test("Files that a larger number of them has left behind go; the first gap ends it")
  func fewerFiles() throws {
    for number in [1, 2, 3, 4, 6] { try Self.write("old", to: "\(path).\(number)") }
    var file = try open(maxFiles: 3)
    for number in 0..<5 { _ = file.append(batch(number)) }
    #expect(batches(".1") == [0, 1, 2, 3])
    #expect(TextFile.readAll(path + ".2") == "old")
    #expect(TextFile.readAll(path + ".3") == nil)
    #expect(TextFile.readAll(path + ".4") == nil)
    // Nobody can tell whose this is.
    #expect(TextFile.readAll(path + ".6") == "old")
  }

  @Test("A file that another program renamed is let go when it is full, and its successor is not touched")
  func renamed() throws {
    var file = try open()
    for number in 0..<4 { _ = file.append(batch(number)) }
    try #require(rename(path, path + "-2026") == 0)
    #expect(file.append(batch(4)) == nil)
    #expect(batches("-2026") == [0, 1, 2, 3])
    #expect(batches() == [4])
    #expect(batches(".1") == nil)
  }

  @Test("A file that another program truncated has room again")
  func truncated() throws {
    var file = try open()
    for number in 0..<4 { _ = file.append(batch(number)) }
    try #require(truncate(path, 0) == 0)
    #expect(file.append(batch(4)) == nil)
    #expect(batches() == [4])
    #expect(batches(".1") == nil)
  }

  @Test("A link, a FIFO and a device are never renamed")
  func notAFile() throws {
    try Self.write("", to: root.path + "/elsewhere")
    try #require(symlink("elsewhere", path) == 0)
    var file = try open()
    for number in 0..<8 { #expect(file.append(batch(number)) == nil) }
    #expect(batches() == Array(0..<8))
    #expect(batches(".1") == nil)
    for other in ["/dev/null", "/dev/full"] {
      let descriptor = try AccessLogFile.open(other)
      let device = AccessLogFile(descriptor, .init(path: other, format: .text))
      #expect(device.size == nil)
    }
  }

  @Test("What can't be rotated stays within its size: lines are refused until the obstacle is gone")
  func obstacle() throws {
    // rename(2) does not replace a directory by a file, whoever asks.
    try #require(mkdir(path + ".1", 0o755) == 0)
    var file = try open(maxFiles: 2)
    for number in 0..<4 { #expect(file.append(batch(number)) == nil) }
    #expect(file.append(batch(4)) == .init(operation: .rotate, errno: EISDIR))
    // The next attempt waits for its time, the refusal doesn't.
    for _ in 0..<100 { #expect(file.append(batch(5))?.errno == EISDIR) }
    #expect(batches() == [0, 1, 2, 3])
    #expect(file.rotations.succeeded == 0)
    try #require(rmdir(path + ".1") == 0)
    #expect(eventually { file.append(batch(6)) == nil })
    #expect(batches() == [6])
    #expect(batches(".1") == [0, 1, 2, 3])
  }

  @Test("A full disk is a failed write, and tells how many lines it took")
  func fullDisk() throws {
    let descriptor = try AccessLogFile.open("/dev/full")
    var file = AccessLogFile(descriptor, .init(path: "/dev/full", format: .text))
    #expect(file.append(batch(0)) == .init(operation: .write, errno: ENOSPC, linesWritten: 0))
  }

  private static func write(_ text: String, to path: String) throws {
    let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    try #require(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
  }
}

extension AccessLogFile {
  /// To a file, which always has room.
  fileprivate mutating func append(_ lines: [UInt8]) -> Failure? { append(lines) { _ in false } }
}
