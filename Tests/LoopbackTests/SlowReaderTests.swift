// Goal: a reader that takes 1 KB now and then, or nothing at all, costs the others nothing and the proxy no more than
// its bounded share of memory.
// Method: while slow readers hang in mid-transfer, every other connection completes its own transfer; no shared receive
// buffer is held for the slow ones; resident memory grows by less than the share.

import Glibc
import TestSupport
import Testing

@Suite("Slow readers")
struct SlowReaderTests {
  private static let transferBytes = 16 << 20
  private static let others = 16

  /// Sends as much as a client asks for with its first byte: `t` for a transfer, `e` for an endless stream.
  private static func source(pieces size: Int = 65_536) throws -> AppServer {
    try AppServer { connection in
      let isEndless = try connection.receive(exactly: 1) == Array("e".utf8)
      let piece = [UInt8](repeating: 0x61, count: size)
      var rest = isEndless ? Int.max : transferBytes
      while rest > 0 {
        try connection.send(piece)
        rest -= piece.count
      }
    }
  }

  @Test("One reader at 1 KB per transfer of the others")
  func slowReader() throws {
    let app = try Self.source()
    let sidecar = try SidecarProcess([.init(to: app)])
    // What the others need by themselves is resident after this.
    try Self.transferAll(sidecar)
    try Self.transferAll(sidecar)
    let before = try sidecar.process.residentMemory().anonymous

    let slow = try sidecar.connect(receiveBuffer: 4_096)
    try slow.send("e")
    for _ in 0..<8 {
      #expect(try slow.receive(exactly: 1_024).count == 1_024)
      try Self.transferAll(sidecar)
    }
    let after = try sidecar.process.residentMemory().anonymous
    // A sanitizer keeps what was freed.
    #expect(
      !SidecarProcess.isConfined || after - before <= 1 << 20, "anonymous memory went from \(before) to \(after) bytes")
    try sidecar.awaitMetrics("only the slow one is still there") { $0.sum("sidecar_connections_active") == 1 }
    slow.reset()
    try sidecar.stop()
  }

  @Test("200 readers that read nothing leave the shared buffers to a ping-pong")
  func stalledReaders() throws {
    let stalled = 200
    let full = Counter()
    let source = try AppServer { connection in
      connection.limitSendBuffer(to: 65_536)
      _ = try connection.sendUntilFull()
      full.add()
      connection.awaitHangUp()
    }
    let echo = try AppServer.echo()
    let sidecar = try SidecarProcess([.init("stalled", to: source), .init("echo", to: echo)])
    let readers = try (0..<stalled).map { _ in try sidecar.connect(to: "stalled", receiveBuffer: 4_096) }
    try eventually("\(stalled) apps can send no more") { full.value == stalled }

    let pingPong = try sidecar.connect(to: "echo")
    for number in 0..<1_000 { try pingPong.ping("message \(number)") }
    let metrics = try sidecar.metrics()
    #expect(metrics.sum("sidecar_connections_active", ["listener": "stalled"]) == stalled)
    #expect(metrics.sum("sidecar_receive_buffers_in_use") == 0)

    for reader in readers { reader.reset() }
    pingPong.close()
    try sidecar.awaitClosed("downstream_reset", stalled, listener: "stalled")
    try sidecar.stop()
  }

  /// The system tells of a peer's FIN for as long as the socket lives: who waits for room to send must not take that for it.
  @Test(
    "Readers that have half-closed and stopped cost no turns, and those that go on nothing of theirs",
    arguments: [1_024, 65_536])
  func halfClosedReaders(pieces: Int) throws {
    let app = try Self.source(pieces: pieces)
    let sidecar = try SidecarProcess([.init(to: app)])
    let stopped = try (0..<3).map { _ in
      let reader = try sidecar.connect(receiveBuffer: 4_096)
      try reader.send("e")
      try reader.finish()
      return reader
    }
    // Turns within a time in which nothing was sent any more.
    try eventually("the proxy rests while they don't read") {
      let before = try sidecar.metrics()
      usleep(200_000)
      let after = try sidecar.metrics()
      let sent = after.sum("sidecar_sent_bytes_total")
      guard sent > 0, sent == before.sum("sidecar_sent_bytes_total") else { return false }
      return after.sum("sidecar_worker_turns_total") - before.sum("sidecar_worker_turns_total") < 50
    }
    // With three in the way, each of which would keep a thread of the kernel's to itself.
    let client = try sidecar.connect()
    try client.send("t")
    try client.finish()
    let (bytes, ending) = try client.drain()
    #expect(bytes.count == Self.transferBytes)
    #expect(ending == .finished)
    for reader in stopped { reader.reset() }
    try sidecar.stop()
  }

  /// All others transfer at once, each to its end.
  private static func transferAll(_ sidecar: SidecarProcess) throws {
    let received = try concurrently(others) { _ in
      let connection = try sidecar.connect()
      try connection.send("t")
      let (bytes, ending) = try connection.drain()
      guard ending == .finished else { throw HarnessError("a transfer was reset") }
      return bytes.count
    }
    #expect(received == Array(repeating: transferBytes, count: others))
  }
}
