// Goal: logs say what happened in lines that machines parse and that can't harm a terminal. Method: lines are made
// from fixed times and records and compared byte by byte.

import Glibc
import IOUring
import Testing

@testable import ProxyCore

@Suite("Log lines")
struct LogTests {
  @Test(
    "Times are RFC 3339 in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
      (1_795_484_326_120_999_999, "2026-11-24T01:38:46.120Z"), (4_107_542_399_999_000_000, "2100-02-28T23:59:59.999Z"),
      (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
    ] as [(UInt64, String)])
  func times(nanoseconds: UInt64, text: String) {
    var bytes: [UInt8] = []
    bytes.append(rfc3339: nanoseconds)
    #expect(String(decoding: bytes, as: UTF8.self) == text)
  }

  @Test("A text line stays one line and shows no control characters")
  func text() {
    let line = Log.line(.warning, "a\nb\u{1b}[31m\u{9b}ü", format: .text, wallNanoseconds: 0)
    #expect(String(decoding: line, as: UTF8.self) == "1970-01-01T00:00:00.000Z WARNING a\\nb\\u001b[31m\\u009bü\n")
  }

  @Test("A JSON line escapes what JSON must, and controls beyond it")
  func json() {
    let line = Log.line(.error, "\"\\\t\u{0}\u{7f}ü", format: .json, wallNanoseconds: 0)
    #expect(
      String(decoding: line, as: UTF8.self)
        == #"{"time":"1970-01-01T00:00:00.000Z","level":"error","message":"\"\\\t\u0000\u007fü"}"# + "\n")
  }

  @Test("A log that nobody reads holds up nobody: what doesn't fit is dropped")
  func stalledReader() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    let log = Log(level: .info, descriptor: ends[1])
    // Far more than the 64 KiB that a pipe holds; a write that waited would never end.
    for _ in 0..<1_000 { log.info(String(repeating: "x", count: 200)) }
    var start = [UInt8](repeating: 0, count: 4_096)
    #expect(read(ends[0], &start, start.count) == start.count)
    let line = String(decoding: start, as: UTF8.self).split(separator: "\n")[0]
    #expect(line.hasSuffix(" INFO " + String(repeating: "x", count: 200)))
  }

  @Test("The level can be changed, and holds back what is below it")
  func level() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { close(ends[0]) }
    let log = Log(level: .warning, descriptor: ends[1])
    log.info("hidden")
    log.setLevel(.info)
    #expect(log.level == .info)
    log.info("shown")
    log.debug("hidden too")
    close(ends[1])
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let count = read(ends[0], &buffer, buffer.count)
    let text = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    #expect(text.hasSuffix(" INFO shown\n") && !text.contains("hidden"))
  }
}

@Suite("Access log lines")
struct AccessLogFormatterTests {
  private let directory = ListenerDirectory()
  private let id: ListenerID

  init() throws {
    let bind = SocketAddress(ip: IPAddress(v4: 0), port: 15006)
    id = try #require(
      directory.add(.init(name: "inbound", direction: .inbound, bind: bind, target: .originalDestination)))
  }

  private var record: AccessRecord {
    AccessRecord(
      listener: id, reason: .upstreamClosed, errno: 0, encryption: .none, tlsFailure: nil, denial: nil, principal: nil,
      tls: nil, downstream: SocketAddress("10.0.0.1:40000"),
      upstream: TargetAddress(SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 8080)),
      acceptedAt: 1_000_000_000, connectedAt: 1_000_123_456, firstByteAt: 1_002_000_000, closedAt: 3_500_000_000,
      receivedBytes: 79, sentBytes: 18_446_744_073_709_551_615)
  }

  private func line(_ record: AccessRecord, _ format: Configuration.AccessLog.Format) -> String {
    var formatter = AccessLogFormatter(format: format)
    formatter.append(record, listener: directory[record.listener])
    return String(decoding: formatter.bytes, as: UTF8.self)
  }

  @Test("JSON has every field")
  func json() {
    #expect(
      line(record, .json) == """
        {"time":"1970-01-01T00:00:01.000Z","listener":"inbound","direction":"inbound","downstream":"10.0.0.1:40000",\
        "upstream":"127.0.0.1:8080","tls":"none","reason":"upstream_closed","errno":null,"detail":null,\
        "principal":null,"tls_version":null,"tls_cipher":null,"tls_resumed":null,"handshake_ms":null,\
        "connect_ms":0.123,"first_byte_ms":2.000,"duration_ms":2500.000,"received_bytes":79,"sent_bytes":18446744073709551615}

        """)
  }

  @Test("Text has the same fields in the same order")
  func text() {
    #expect(
      line(record, .text) == """
        1970-01-01T00:00:01.000Z listener=inbound direction=inbound downstream=10.0.0.1:40000 upstream=127.0.0.1:8080 \
        tls=none reason=upstream_closed errno=- detail=- principal=- \
        tls_version=- tls_cipher=- tls_resumed=- handshake_ms=- \
        connect_ms=0.123 first_byte_ms=2.000 duration_ms=2500.000 \
        received_bytes=79 sent_bytes=18446744073709551615

        """)
  }

  @Test("What never happened is null, a dash and the errno's name")
  func failed() {
    var failed = record
    failed.reason = .connectRefused
    failed.errno = ECONNREFUSED
    failed.connectedAt = 0
    failed.firstByteAt = 0
    failed.downstream = nil
    failed.upstream = .none
    failed.listener = ListenerID(rawValue: 99)
    let expected = #""errno":"ECONNREFUSED","detail":null,"principal":null,"tls_version":null"#
    #expect(line(failed, .json).contains(expected))
    #expect(line(failed, .json).contains(#""connect_ms":null,"first_byte_ms":null"#))
    #expect(line(failed, .text).contains("listener=- direction=- downstream=- upstream=- "))
  }

  @Test("A connection under TLS tells what was proved and agreed on")
  func encrypted() throws {
    var encrypted = record
    encrypted.encryption = .mutual
    encrypted.denial = .principal
    let principal = Array("spiffe://x/y".utf8).withUnsafeBytes { PrincipalBytes(copying: $0) }
    defer { principal.free() }
    encrypted.principal = principal
    encrypted.tls = TLSSummary(version: 0x0304, cipherSuite: 0x1301, isResumed: true, handshakeNanoseconds: 1_234_000)
    #expect(
      line(encrypted, .json).contains(
        #""tls":"mutual","reason":"upstream_closed","errno":null,"detail":"principal","principal":"spiffe://x/y","#
          + #""tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","tls_resumed":true,"handshake_ms":1.234,"#))
    #expect(
      line(encrypted, .text).contains(
        " detail=principal principal=spiffe://x/y tls_version=TLSv1.3 tls_cipher=TLS_AES_128_GCM_SHA256 "
          + "tls_resumed=true handshake_ms=1.234 "))
  }

  @Test("A Unix socket's path can't break the line")
  func hostilePath() throws {
    var hostile = record
    hostile.upstream = try #require(TargetAddress(unixPath: "/run/a b\"\n.sock"))
    #expect(line(hostile, .json).contains(#""upstream":"unix:/run/a b\"\n.sock""#))
    #expect(line(hostile, .text).contains(#" upstream="unix:/run/a b\"\n.sock" "#))
    #expect(line(hostile, .text).filter { $0 == "\n" }.count == 1)
  }

  @Test("Times that run backwards are zero, not a trap")
  func clockOddities() {
    var odd = record
    odd.connectedAt = 1
    odd.closedAt = 0
    #expect(line(odd, .json).contains(#""connect_ms":0.000"#))
  }
}
