// Goal: a directory in which much happens costs the control thread little, and never holds it.
// Method: what the watch's descriptor has to tell, after writes beside the watched file.

import Glibc
import Testing

@testable import ProxyCore

@Suite("File watch")
struct FileWatchTests {
  private func isReadable(_ watch: FileWatch) -> Bool {
    var poll = pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0)
    return Glibc.poll(&poll, 1, 0) == 1
  }

  @Test("A log that grows beside the watched file wakes nobody")
  func growingLog() throws {
    let root = try FakeRoot(["config.yaml": "workers: 1\n", "access.log": ""])
    let log = open(root.path + "/access.log", O_WRONLY | O_APPEND)
    try #require(log >= 0)
    defer { close(log) }
    let watch = try FileWatch(paths: [root.path + "/config.yaml"])
    defer { watch.close() }
    for _ in 0..<100 { #expect(write(log, "line\n", 5) == 5) }
    #expect(!isReadable(watch))
  }

  @Test("A file that is written in place tells when it is closed")
  func writtenInPlace() throws {
    let root = try FakeRoot(["config.yaml": "workers: 1\n"])
    var watch = try FileWatch(paths: [root.path + "/config.yaml"])
    defer { watch.close() }
    try root.write("config.yaml", "workers: 2\n# longer\n")
    #expect(isReadable(watch))
    watch.readEvents(now: 0)
    let changed = watch.changed(now: Debounce.quietNanoseconds)
    #expect(changed)
  }

  @Test("A file that may be read only now is another one: whoever was refused has to look again")
  func permission() throws {
    let root = try FakeRoot(["tls.key": "secret\n"])
    let path = root.path + "/tls.key"
    #expect(chmod(path, 0) == 0)
    var watch = try FileWatch(paths: [path])
    defer { watch.close() }
    #expect(chmod(path, 0o600) == 0)
    #expect(isReadable(watch))
    watch.readEvents(now: 0)
    let changed = watch.changed(now: Debounce.quietNanoseconds)
    #expect(changed)
  }

  @Test("A flood of events is taken in parts, so that signals are seen in between")
  func flood() throws {
    let root = try FakeRoot(["config.yaml": "workers: 1\n"])
    var watch = try FileWatch(paths: [root.path + "/config.yaml"])
    defer { watch.close() }
    for _ in 0..<2_000 {
      try root.write("other", "x")
      #expect(unlink(root.path + "/other") == 0)
    }
    watch.readEvents(now: 0)
    #expect(isReadable(watch))
    for _ in 0..<100 where isReadable(watch) { watch.readEvents(now: 0) }
    #expect(!isReadable(watch))
    let changed = watch.changed(now: Debounce.quietNanoseconds)
    #expect(!changed)
  }
}
