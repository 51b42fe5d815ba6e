// Goal: the access log loses nothing that its sink takes, counts what it loses, and never blocks who writes to it.
// Method: the real thread with files, a FIFO that nobody reads, and queues that the test fills.

import Glibc
import IOUring
import Testing

@testable import ProxyCore

@Suite("Access log writer")
struct AccessLogWriterTests {
  /// As `SignalDescriptor.blockSignals` does in the product: the stalled FIFO loses its reader while it is written to.
  init() { signal(SIGPIPE, SIG_IGN) }

  private static func record(_ number: UInt64) -> AccessRecord {
    AccessRecord(
      listener: ListenerID(rawValue: 0), reason: .downstreamClosed, errno: 0, encryption: .none, tlsFailure: nil,
      denial: nil, principal: nil, downstream: nil, upstream: .none, acceptedAt: 0, connectedAt: 0, firstByteAt: 0,
      closedAt: 0, receivedBytes: number, sentBytes: 0)
  }

  private func writer(_ path: String) throws -> AccessLogWriter {
    try AccessLogWriter(
      .init(path: path, format: .text), workers: 2, directory: ListenerDirectory(), log: Log(level: .error))
  }

  /// As a worker does it.
  private func push(_ record: AccessRecord, _ queue: AccessRecordQueue) {
    if queue.push(record) { EventDescriptor.notify(queue.wakeDescriptor) }
  }

  /// A writer to a FIFO that is full, and its reader, who doesn't read and is the caller's to close.
  private func stalledWriter(_ path: String) throws -> (AccessLogWriter, reader: Int32) {
    try #require(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    try #require(reader >= 0)
    let writer = try writer(path)
    // The pipe holds 64 KiB, the writer a batch of 32 KiB, the queue 1,024 records of about 200 bytes: twice that
    // can't fit.
    for number in 0..<UInt64(4_000) { push(Self.record(number), writer.queues[0]) }
    return (writer, reader)
  }

  @Test("Everything that was pushed before the end is in the file")
  func complete() throws {
    let root = try FakeRoot([:])
    let path = root.path + "/access.log"
    let writer = try writer(path)
    // Within the queues' capacity, so that nothing may be dropped however slow the thread is.
    let count = UInt64(AccessRecordQueue.capacity)
    for number in 0..<count { push(Self.record(number), writer.queues[Int(number % 2)]) }
    writer.finish()
    let lines = try #require(TextFile.readAll(path)).split(separator: "\n")
    #expect(lines.count == Int(count))
    let numbers = Set(lines.compactMap { $0.split(separator: " ").first { $0.hasPrefix("received_bytes=") } })
    #expect(numbers.count == Int(count))
    #expect(writer.droppedCount == 0)
  }

  @Test("A stalled sink drops and counts, and neither the worker nor the end waits for it")
  func stalled() throws {
    let root = try FakeRoot([:])
    let (writer, reader) = try stalledWriter(root.path + "/fifo")
    defer { close(reader) }
    #expect(writer.droppedCount > 0)
    writer.finish()
  }

  @Test("A stalled sink is left for the one of new settings")
  func stalledIsLeft() throws {
    let root = try FakeRoot([:])
    let (writer, reader) = try stalledWriter(root.path + "/fifo")
    defer { close(reader) }
    let path = root.path + "/access.log"
    writer.reopen(.init(path: path, format: .text))
    let deadline = Clocks.monotonicNanoseconds + 20_000_000_000
    while TextFile.readAll(path)?.isEmpty ?? true, Clocks.monotonicNanoseconds < deadline { sched_yield() }
    writer.finish()
    #expect(TextFile.readAll(path)?.last == "\n")
  }

  @Test("A renamed file is left behind on reopen")
  func reopen() throws {
    let root = try FakeRoot([:])
    let path = root.path + "/access.log"
    let writer = try writer(path)
    try #require(rename(path, path + ".1") == 0)
    writer.reopen(.init(path: path, format: .json))
    let deadline = Clocks.monotonicNanoseconds + 20_000_000_000
    while access(path, F_OK) != 0, Clocks.monotonicNanoseconds < deadline { sched_yield() }
    push(Self.record(1), writer.queues[0])
    writer.finish()
    #expect(TextFile.readAll(path + ".1") == "")
    #expect(TextFile.readAll(path)?.hasPrefix("{\"time\":") == true)
  }

  @Test("A path that can't be opened is one line that says how to mend it")
  func unopenable() {
    do {
      _ = try writer("/nonexistent/access.log")
      Issue.record("there is no such directory")
    } catch {
      #expect("\(error)".hasPrefix("access log /nonexistent/access.log: can't open: No such file or directory; "))
    }
  }
}
