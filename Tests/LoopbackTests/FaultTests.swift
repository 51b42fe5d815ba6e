// Goal: what happens to programs and machines happens to nobody's bytes: an app that is killed, a log that nobody reads,
// a storm of resets, fifty thousand connections, little memory.
// Method: the fault is done to the real binary under load. What each client gets is compared with what it should get,
// and what is left is looked for in the metrics, in /proc and in the kernel's own counts.

import Glibc
import TestSupport
import Testing

@Suite("Faults", .serialized)
struct FaultTests {
  @Test(
    "SIGKILL of the app under load: every client sees the end, and a new app is served",
    .enabled(if: Programs.allow("python3")))
  func appKilled() throws {
    let directory = try TemporaryDirectory()
    let endpoint = try Endpoint.freeLoopback()
    var app = try Self.startEcho(at: endpoint, in: directory)
    let sidecar = try SidecarProcess([.init(target: "\(endpoint)")])
    try eventually("the app serves") { (try? sidecar.connect().ping()) != nil }
    try sidecar.awaitMetrics("the first tries have ended") { $0.sum("sidecar_connections_active") == 0 }
    let before = try sidecar.idleDescriptorCounts()

    let streams = try (0..<Self.streams).map { _ in PatternStream(on: try sidecar.connect()) }
    for stream in streams { try stream.awaitReceived(atLeast: 1 << 20) }
    app.signal(SIGKILL)
    #expect(try app.wait() == .signalled(SIGKILL))
    // Each throws where anything but a prefix of what it sent came back, or where the end doesn't come.
    for stream in streams { _ = try stream.awaitEnd() }
    #expect((try? sidecar.connect().ping()) == nil)

    app = try Self.startEcho(at: endpoint, in: directory)
    try eventually("the new app is served") { (try? sidecar.connect().ping()) != nil }
    try sidecar.awaitNothingLeft(since: before)
    try sidecar.stop()
  }

  private static let streams = 32

  /// An app of its own process, to be killed.
  private static func startEcho(at endpoint: Endpoint, in directory: TemporaryDirectory) throws -> ChildProcess {
    let script = """
      import socket, sys, threading
      listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
      def serve(connection):
          with connection:
              while data := connection.recv(65536):
                  connection.sendall(data)
      while True:
          threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
      """
    return try ChildProcess(["python3", "-c", script, "\(endpoint.port)"], in: directory)
  }

  @Test("A log that nobody reads stops no traffic; what it misses is counted, and it goes on when it is read again")
  func stalledLogReader() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("access.fifo")
    try #require(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    try #require(reader >= 0)
    defer { close(reader) }
    let sidecar = try SidecarProcess(
      [.init(to: try AppServer.echo())], settings: ["accessLog": "{path: \"\(path)\", format: text}"])
    let talking = try sidecar.connect()
    // More lines than a pipe and a queue hold.
    let count = 5_000
    for _ in 0..<count {
      let connection = try sidecar.connect()
      try connection.ping()
      connection.close()
      try talking.ping()
    }
    let stalled = try sidecar.awaitMetrics("all have ended, and lines are dropped") {
      $0.sum("sidecar_connections_closed_total") == count && $0.sum("sidecar_access_log_dropped_total") > 0
    }
    let dropped = stalled.sum("sidecar_access_log_dropped_total")

    var text: [UInt8] = []
    try eventually("the lines that were not dropped arrive") {
      var chunk = [UInt8](repeating: 0, count: 65_536)
      while case let taken = read(reader, &chunk, chunk.count), taken > 0 { text += chunk[..<taken] }
      return text.count { $0 == UInt8(ascii: "\n") } >= count - dropped
    }
    #expect(try SidecarProcess.parseAccessLog(String(decoding: text, as: UTF8.self)).count == count - dropped)
    #expect(try sidecar.metrics().sum("sidecar_access_log_dropped_total") == dropped)
    try talking.ping()
    talking.close()
    try sidecar.stop()
  }

  @Test("Ten thousand resets: the worker's other connection has every answer, and nothing is left")
  func resetStorm() throws {
    let sidecar = try SidecarProcess([.init(to: try AppServer.echo())])
    let before = try sidecar.idleDescriptorCounts()
    let talking = try sidecar.connect()
    let perClient = 2_500
    let began = ContinuousClock.now
    let storm = BackgroundJob {
      try concurrently(4) { _ in
        for _ in 0..<perClient {
          let connection = try sidecar.connect()
          try connection.ping()
          connection.reset()
        }
      }
    }
    var pings = 0
    while !storm.isFinished {
      try talking.ping()
      pings += 1
    }
    _ = try storm.wait()
    // For the table in docs/testing.md; how fast a machine is proves nothing.
    let perSecond = Double(4 * perClient) / ((ContinuousClock.now - began) / .seconds(1))
    print("\(Int(perSecond)) resets a second, \(pings) answers beside them")
    #expect(pings > 0)
    try talking.finish()
    #expect(try talking.ending() == .finished)
    let metrics = try sidecar.awaitNothingLeft(since: before)
    #expect(metrics.sum("sidecar_connections_closed_total", ["reason": "downstream_reset"]) == 4 * perClient)
    try sidecar.stop()
  }

  @Test(
    "50,000 connections leave descriptors, memory, threads and the kernel's sockets as they were",
    .enabled(if: Programs.allowsRoot && SidecarProcess.isConfined))
  func fiftyThousandConnections() throws {
    // In a network of its own, so that the kernel's counts are those of this test.
    try NetworkNamespace(addresses: []).inside {
      let app = try AppServer.echo()
      let sidecar = try SidecarProcess([.init(to: app)])
      // What is allocated once is there after these.
      try Self.openAndClose(5_000, through: sidecar)
      try sidecar.awaitMetrics("all have ended") { $0.sum("sidecar_connections_active") == 0 }
      let before = try sidecar.idleDescriptorCounts()
      try eventually("the app has seen all ends") { app.servedCount == 0 }
      let socketsBefore = try Self.socketsInUse(by: sidecar)
      let threadsBefore = try Files.list("/proc/\(sidecar.process.pid)/task").count
      let memoryBefore = try sidecar.process.residentMemory()
      let objectsBefore = try KernelObjects.counts()

      try Self.openAndClose(50_000, through: sidecar)
      let metrics = try sidecar.awaitNothingLeft(since: before)
      #expect(metrics.sum("sidecar_connections_closed_total", ["reason": "downstream_closed"]) == 55_000)
      try eventually("the kernel has as many sockets as before") { try Self.socketsInUse(by: sidecar) == socketsBefore }
      // One object for each connection would be 50,000; what other processes do meanwhile is far less than a fifth of it.
      try eventually("\((try? KernelObjects.counts()) ?? [:]) kernel objects are as many as \(objectsBefore)") {
        let objects = try KernelObjects.counts()
        return objectsBefore.allSatisfy { kind, count in objects[kind, default: 0] - count < 10_000 }
      }
      #expect(try Files.list("/proc/\(sidecar.process.pid)/task").count == threadsBefore)
      let memoryAfter = try sidecar.process.residentMemory()
      // Twenty bytes a connection would show.
      #expect(memoryAfter.anonymous - memoryBefore.anonymous < 1 << 20)
      try sidecar.stop()
    }
  }

  private static func openAndClose(_ count: Int, through sidecar: SidecarProcess) throws {
    let clients = 8
    _ = try concurrently(clients) { _ in
      for _ in 0..<(count / clients) {
        let connection = try sidecar.connect()
        try connection.ping()
        try connection.finish()
        guard try connection.ending() == .finished else { throw HarnessError("a connection was cut") }
      }
    }
  }

  /// TCP sockets and orphans of the sidecar's network; those in TIME_WAIT are the clients' and wait for a minute.
  private static func socketsInUse(by sidecar: SidecarProcess) throws -> [String] {
    let lines = try Files.read("/proc/\(sidecar.process.pid)/net/sockstat").split(separator: "\n")
    // TCP: inuse 5 orphan 0 tw 412 alloc 7 mem 1
    let words = lines.first { $0.hasPrefix("TCP:") }?.split(separator: " ").map(String.init) ?? []
    return Array(words.prefix(5))
  }

  @Test(
    "24 MiB for everything, and 300 readers that have stalled: nobody is killed, and others are served",
    .enabled(if: SidecarProcess.isConfined),
    .enabled(if: MemoryLimit.obstacle == nil, "\(MemoryLimit.obstacle ?? "")"))
  func memoryLimit() throws {
    let limit = try MemoryLimit(bytes: 24 << 20, socketBytes: 256 << 20)
    let sidecar = try SidecarProcess(
      [.init("stalling", to: try AppServer.stalling()), .init(to: try AppServer.echo())], launcher: limit.launcher)
    let before = try sidecar.idleDescriptorCounts()
    let stalled = try (0..<300).map { _ in
      let connection = try sidecar.connect(to: "stalling")
      connection.limitSendBuffer(to: 65_536)
      try connection.send([UInt8](repeating: 7, count: 32_768))
      return connection
    }
    for connection in stalled { _ = try connection.sendUntilFull(patience: 0) }
    let streams = try (0..<8).map { _ in PatternStream(on: try sidecar.connect()) }
    for stream in streams { try stream.awaitReceived(atLeast: 8 << 20) }
    for stream in streams { try stream.finish() }
    for _ in 0..<100 { try sidecar.connect().ping() }
    #expect(try limit.killCount() == 0)
    // Where sockets count, too, the limit is no bound on the process's own memory.
    #expect(try sidecar.process.residentMemory().anonymous < 24 << 20)
    if let peak = try limit.peakBytes() { print("\(peak >> 20) MiB at the most") }
    for connection in stalled { connection.reset() }
    try sidecar.awaitNothingLeft(since: before)
    try sidecar.stop()
  }
}
