// Goal: what the operating system or the encoding of a file does wrong is said with the mend. Method: real files in a
// fresh directory, and bytes that are not UTF-8.

import Glibc
import Testing

@testable import ProxyCore

@Suite("Configuration files")
struct ConfigurationFileTests {
  private func message(_ path: String, isReload: Bool = false) -> String {
    do throws(ConfigurationError) {
      _ = try Configuration.load(file: path, isReload: isReload)
      return ""
    } catch {
      return error.description
    }
  }

  private func message(_ bytes: [UInt8]) -> String {
    do throws(ConfigurationError) {
      let overrides = Overrides(environment: [], flags: [], forwards: [])
      _ = try Configuration.load(content: bytes + Array(someListener.utf8), path: "f", overrides: overrides)
      return ""
    } catch {
      return error.description
    }
  }

  /// Runs `body` with the path of a directory that is removed afterwards.
  private func withDirectory(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/sidecar-configuration-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template).map({ String(cString: $0) }) else {
      Issue.record("mkdtemp failed: \(String(cString: strerror(errno)))")
      return
    }
    defer {
      unlink("\(path)/file")
      rmdir(path)
    }
    try body(path)
  }

  private func write(_ bytes: [UInt8], to path: String) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    #expect(descriptor >= 0)
    #expect(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    close(descriptor)
  }

  @Test("A file is read whole")
  func good() throws {
    try withDirectory { directory in
      let padding = "# " + String(repeating: "x", count: 200_000) + "\n"
      write(Array((padding + someListener).utf8), to: "\(directory)/file")
      let expected = try load(someListener)
      #expect(try Configuration.load(file: "\(directory)/file") == expected)
    }
  }

  @Test("A file that isn't there, and one that is a directory")
  func unreadable() throws {
    try withDirectory { directory in
      let path = "\(directory)/file"
      #expect(
        message(path)
          == "\(path): can't read the file: No such file or directory; check the path, and that the volume with the file "
          + "is mounted")
      #expect(
        message(directory) == "\(directory): can't read the file: Is a directory; give the path of the file in it")
      #expect(message("") == "configuration: the path of the file is empty or has a zero byte in it")
      #expect(symlink(path, path) == 0)
      #expect(
        message(path).hasPrefix("\(path): can't read the file: Too many levels of symbolic links; its symbolic links"))
    }
  }

  @Test("A pipe that somebody has written to is read at the start; it can't be read again")
  func pipe() throws {
    var ends: [Int32] = [-1, -1]
    try #require(Glibc.pipe(&ends) == 0)
    defer { close(ends[0]) }
    let path = "/dev/fd/\(ends[0])"
    let bytes = Array(someListener.utf8)
    #expect(Glibc.write(ends[1], bytes, bytes.count) == bytes.count)
    #expect(
      message(path, isReload: true)
        == "\(path): this is a pipe, which can be read only once; only a regular file can be loaded again")
    close(ends[1])
    let expected = try load(someListener)
    #expect(try Configuration.load(file: path) == expected)
    #expect(message(path) == "\(path): this is a pipe, which nobody writes to; give the path of a regular file")
  }

  @Test("A FIFO that nobody writes to keeps nobody waiting", arguments: [false, true])
  func fifo(isReload: Bool) throws {
    try withDirectory { directory in
      let path = "\(directory)/file"
      #expect(mkfifo(path, 0o600) == 0)
      #expect(message(path, isReload: isReload).hasPrefix("\(path): this is a pipe, which "))
    }
  }

  @Test("A terminal on which nobody types doesn't keep a reload waiting")
  func terminal() {
    #expect(
      message("/dev/ptmx", isReload: true)
        == "/dev/ptmx: can't read the file: Resource temporarily unavailable; only a regular file can be loaded again")
  }

  @Test("An endless file is given up after a megabyte")
  func endless() {
    #expect(
      message("/dev/zero")
        == "/dev/zero: the file is larger than 1024 KiB; expected a configuration: is the path right?")
  }

  @Test("A file of exactly the largest size is read")
  func largest() {
    let room = SourceText.bytesMax - someListener.utf8.count
    #expect(message(Array(repeating: UInt8(ascii: "\n"), count: room)) == "")
    #expect(message(Array(repeating: UInt8(ascii: "\n"), count: room + 1)).hasPrefix("f: the file is larger than"))
  }

  @Test(
    "Encodings",
    arguments: [
      ([0xef, 0xbb, 0xbf], ""),
      ([0x23, 0xc3, 0xa9, 0x0a], ""),
      ([0xff, 0xfe, 0x77, 0x00], "f: the file is UTF-16; expected UTF-8: save it as that"),
      ([0xfe, 0xff, 0x00, 0x77], "f: the file is UTF-16; expected UTF-8: save it as that"),
      ([0x23, 0x0a, 0x23, 0xe9, 0x0a], "f:2:2: the file is not valid UTF-8; expected UTF-8: save it as that"),
      ([0x23, 0xc3, 0xa9, 0xed, 0xa0, 0x80], "f:1:3: the file is not valid UTF-8; expected UTF-8: save it as that"),
      ([0x23, 0xc0, 0x80], "f:1:2: the file is not valid UTF-8; expected UTF-8: save it as that"),
      ([0x23, 0x00], "f:1:2: the character U+0000 is not allowed in YAML; remove it"),
      ([0x0a, 0x23, 0x1b], "f:2:2: the character U+001B is not allowed in YAML; remove it"),
      ([0x23, 0xef, 0xbb, 0xbf], "f:1:2: the character U+FEFF is not allowed in YAML; remove it"),
    ] as [([UInt8], String)])
  func encodings(bytes: [UInt8], expected: String) {
    #expect(message(bytes) == expected)
  }
}
