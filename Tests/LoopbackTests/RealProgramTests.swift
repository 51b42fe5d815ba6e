// Goal: programs that people really put behind a sidecar work through it, unaware of it.
// Method: Debian's clients and servers with the sidecar between them, judged by the clients' exit status, their own
// checks, digests of what they moved, and the sidecar's counters.

import Glibc
import TestSupport
import Testing

@Suite("Real programs")
struct RealProgramTests {
  @Test(
    "curl and nginx: requests on one connection, 100 MB down and up",
    .enabled(if: Programs.allow("curl", "nginx"), "needs Debian's curl and nginx"))
  func curlAndNginx() throws {
    let directory = try TemporaryDirectory()
    let nginx = try RealServer.nginx(in: directory)
    let digest = try Self.writeRandomFile(directory.file("files/large"), bytes: 100_000_000)
    try Files.write("small\n", to: directory.file("files/small"))
    let sidecar = try SidecarProcess([.init(target: "\(nginx.endpoint)")])
    let url = "http://\(try sidecar.endpoint())"
    let curl = [try Programs.path("curl"), "--silent", "--show-error", "--fail"]

    let requests = (0..<20).flatMap { _ in ["--output", "/dev/null", "\(url)/small"] }
    let connects = try ChildProcess.run(curl + ["--write-out", "%{num_connects} "] + requests, in: directory)
    #expect(connects.split(separator: " ").map(String.init) == ["1"] + Array(repeating: "0", count: 19))
    #expect(try sidecar.metrics().sum("sidecar_connections_opened_total") == 1)

    try ChildProcess.run(curl + ["--output", directory.file("down"), "\(url)/large"], in: directory)
    #expect(try Self.digest(ofFile: directory.file("down")) == digest)
    try ChildProcess.run(curl + ["--upload-file", directory.file("down"), "\(url)/up"], in: directory)
    #expect(try Self.digest(ofFile: directory.file("files/up")) == digest)

    try sidecar.awaitClosed("downstream_closed", 3)
    let metrics = try sidecar.metrics()
    #expect(metrics.sum("sidecar_received_bytes_total") > 100_000_000)
    #expect(metrics.sum("sidecar_sent_bytes_total") > 100_000_000)
    try sidecar.stop()
    try nginx.stop()
  }

  @Test(
    "iperf3, both ways over four streams", .enabled(if: Programs.allow("iperf3"), "needs Debian's iperf3"),
    arguments: [[], ["--reverse"]])
  func iperf(direction: [String]) throws {
    let directory = try TemporaryDirectory()
    let server = try RealServer.iperf(in: directory)
    let sidecar = try SidecarProcess([.init(target: "\(server.endpoint)")])
    let bytes = 400_000_000
    let report = try ChildProcess.run(
      [
        try Programs.path("iperf3"), "--client", "127.0.0.1", "--port", "\(try sidecar.endpoint().port)", "--parallel",
        "4", "--bytes", "\(bytes)", "--json",
      ] + direction, in: directory)
    let metrics = try sidecar.awaitMetrics("the control and the four data connections ended") {
      $0.sum("sidecar_connections_opened_total") == 5 && $0.sum("sidecar_connections_active") == 0
    }
    // The receiver stops when the sender has sent all, and leaves what is still on its way.
    let sum = try #require(report.firstRange(of: "\"sum_received\""))
    let count = try #require(report[sum.upperBound...].firstRange(of: "\"bytes\":"))
    let received = try #require(Int(report[count.upperBound...].drop { $0.isWhitespace }.prefix { $0.isNumber }))
    #expect(received > bytes / 2)
    let moved = direction.isEmpty ? "sidecar_received_bytes_total" : "sidecar_sent_bytes_total"
    #expect(metrics.sum(moved) >= received)
    try sidecar.stop()
    try server.stop()
  }

  @Test(
    "redis-benchmark and redis-server, 50 pipelining clients",
    .enabled(if: Programs.allow("redis-server", "redis-benchmark"), "needs Debian's redis"))
  func redis() throws {
    let directory = try TemporaryDirectory()
    let server = try RealServer.redis(in: directory)
    let sidecar = try SidecarProcess([.init(target: "\(server.endpoint)")])
    let tests = ["SET", "GET", "INCR", "LPUSH", "MSET (10 keys)"]
    let output = try ChildProcess.run(
      [
        try Programs.path("redis-benchmark"), "-h", "127.0.0.1", "-p", "\(try sidecar.endpoint().port)", "-c", "50",
        "-n", "20000", "-P", "4", "-d", "1000", "-t", "set,get,incr,lpush,mset", "--csv",
      ], in: directory)
    for test in tests { #expect(output.contains("\"\(test)\""), "\(output)") }

    // The server's own count: every INCR arrived exactly once.
    let client = try sidecar.connect()
    try client.send("GET counter:__rand_int__\r\n")
    let reply = "$5\r\n20000\r\n"
    #expect(String(decoding: try client.receive(exactly: reply.utf8.count), as: UTF8.self) == reply)
    client.close()
    try sidecar.stop()
    try server.stop()
  }

  @Test(
    "pgbench and psql with PostgreSQL",
    .enabled(
      if: Programs.allow("postgres", "initdb", "pgbench", "psql"), "needs Debian's postgresql and postgresql-contrib"))
  func postgres() throws {
    let directory = try TemporaryDirectory()
    let server = try RealServer.postgres(in: directory)
    let sidecar = try SidecarProcess([.init(target: "\(server.endpoint)")])
    let options = ["--host=127.0.0.1", "--port=\(try sidecar.endpoint().port)", "--username=sidecar"]

    let pgbench = [try Programs.path("pgbench")] + options
    try ChildProcess.run(pgbench + ["--initialize", "--quiet", "postgres"], in: directory)
    let report = try ChildProcess.run(
      pgbench + ["--client=8", "--jobs=2", "--transactions=250", "postgres"], in: directory)
    #expect(report.contains("number of transactions actually processed: 2000/2000"), "\(report)")

    // What the transactions did, by the database's own books.
    let query = """
      SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history
      """
    let answer = try ChildProcess.run(
      [try Programs.path("psql")] + options + ["--no-align", "--tuples-only", "--command", query, "postgres"],
      in: directory)
    #expect(answer == "2000|t\n")
    try sidecar.stop()
    try server.stop(SIGINT)
  }

  @Test("A server that speaks first is heard before the client says anything")
  func serverSpeaksFirst() throws {
    let app = try AppServer { connection in
      try connection.send("220 mail.example ESMTP ready\r\n")
      _ = try connection.receive(exactly: "EHLO client.example\r\n".utf8.count)
      try connection.send("250 mail.example\r\n")
      _ = try connection.receive(exactly: "QUIT\r\n".utf8.count)
      try connection.send("221 bye\r\n")
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    #expect(try client.receive(exactly: 30) == Array("220 mail.example ESMTP ready\r\n".utf8))
    try client.send("EHLO client.example\r\n")
    #expect(try client.receive(exactly: 18) == Array("250 mail.example\r\n".utf8))
    try client.send("QUIT\r\n")
    let (bytes, ending) = try client.drain()
    #expect(bytes == Array("221 bye\r\n".utf8))
    #expect(ending == .finished)
    client.close()
    try sidecar.awaitClosed("upstream_closed")
    try sidecar.stop()
  }

  private static func writeRandomFile(_ path: String, bytes: Int) throws -> String {
    let digest = Digest()
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw SystemCallError("open \(path)") }
    defer { close(descriptor) }
    var pieces = RandomPieces(seed: 100, total: bytes)
    while try pieces.next({ piece in
      digest.update(piece)
      guard write(descriptor, piece.baseAddress, piece.count) == piece.count else { throw SystemCallError("write") }
    }) {}
    return digest.finish()
  }

  private static func digest(ofFile path: String) throws -> String { Digest.of(try Files.readBytes(path)) }
}
