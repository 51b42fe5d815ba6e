// One line of the access log, in JSON or as key=value text. docs/access-log.md describes the fields for operators.

import CLinux
import Glibc

/// Turns records into lines, into memory that is used again and again. Owned by the access log's thread.
struct AccessLogFormatter {
  /// What the lines so far come to; emptied by `reset`.
  var bytes: [UInt8] { format == .text ? text : json.bytes }

  var format: Configuration.AccessLog.Format
  /// The wall clock minus the monotonic one, in nanoseconds: records carry monotonic times.
  var wallOffset: UInt64 = 0

  private var json = JSONWriter()
  private var text: [UInt8] = []

  init(format: Configuration.AccessLog.Format) { self.format = format }

  mutating func reset() {
    json.reset()
    text.removeAll(keepingCapacity: true)
  }

  /// Reads both clocks; a step of the wall clock shows in the lines from then on.
  mutating func readClocks() {
    wallOffset = Clocks.wallNanoseconds &- Clocks.monotonicNanoseconds
  }

  /// Appends a record's line.
  mutating func append(_ record: AccessRecord, listener: ListenerDirectory.Entry?) {
    let fields = Fields(record, listener: listener, wallOffset: wallOffset)
    switch format {
    case .json: append(json: fields)
    case .text: append(text: fields)
    case .off: break
    }
  }

  private mutating func append(json fields: Fields) {
    json.object { line in
      line.key("time")
      line.value(wallNanoseconds: fields.wallNanoseconds)
      line.member("listener", fields.listener)
      line.member("direction", fields.direction)
      line.member("downstream", fields.downstream)
      line.member("upstream", fields.upstream)
      line.member("tls", fields.tls)
      line.member("reason", fields.reason)
      line.key("errno")
      line.value(fields.errno)
      line.key("detail")
      line.value(fields.detail)
      line.key("principal")
      line.value(fields.principal)
      line.key("tls_version")
      line.value(fields.tlsVersion)
      line.key("tls_cipher")
      line.value(fields.tlsCipher)
      line.key("tls_resumed")
      if let resumed = fields.tlsResumed { line.value(resumed) } else { line.null() }
      line.key("handshake_ms")
      line.value(millisecondsOf: fields.handshake)
      line.key("connect_ms")
      line.value(millisecondsOf: fields.connect)
      line.key("first_byte_ms")
      line.value(millisecondsOf: fields.firstByte)
      line.key("duration_ms")
      line.value(millisecondsOf: fields.duration)
      line.member("received_bytes", fields.receivedBytes)
      line.member("sent_bytes", fields.sentBytes)
    }
    json.endLine()
  }

  private mutating func append(text fields: Fields) {
    text.append(rfc3339: fields.wallNanoseconds)
    append("listener", fields.listener)
    append("direction", fields.direction)
    append("downstream", fields.downstream)
    append("upstream", fields.upstream)
    append("tls", fields.tls)
    append("reason", fields.reason)
    append("errno", fields.errno ?? "-")
    append("detail", fields.detail ?? "-")
    append("principal", fields.principal ?? "-")
    append("tls_version", fields.tlsVersion ?? "-")
    append("tls_cipher", fields.tlsCipher ?? "-")
    append("tls_resumed", fields.tlsResumed.map { "\($0)" } ?? "-")
    append("handshake_ms", millisecondsOf: fields.handshake)
    append("connect_ms", millisecondsOf: fields.connect)
    append("first_byte_ms", millisecondsOf: fields.firstByte)
    append("duration_ms", millisecondsOf: fields.duration)
    append("received_bytes", "\(fields.receivedBytes)")
    append("sent_bytes", "\(fields.sentBytes)")
    text.append(UInt8(ascii: "\n"))
  }

  /// A value with a blank, a quote or a control character in it (a Unix socket's path can have one) is written as JSON
  /// would, so that the line still splits at blanks.
  private mutating func append(_ key: String, _ value: String) {
    appendKey(key)
    let isPlain = value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x5c && $0 < 0x7f }
    if isPlain { text.append(contentsOf: value.utf8) } else { text.appendJSON(string: value) }
  }

  private mutating func append(_ key: String, millisecondsOf nanoseconds: UInt64?) {
    appendKey(key)
    if let nanoseconds { text.append(millisecondsOf: nanoseconds) } else { text.append(UInt8(ascii: "-")) }
  }

  private mutating func appendKey(_ key: String) {
    text.append(UInt8(ascii: " "))
    text.append(contentsOf: key.utf8)
    text.append(UInt8(ascii: "="))
  }
}

/// A record with its names looked up and its times made relative. Times are in nanoseconds.
private struct Fields {
  var wallNanoseconds: UInt64
  var listener: String
  var direction: String
  var downstream: String
  var upstream: String
  var tls: String
  var reason: String
  var errno: String?
  /// Why TLS failed or the policy denied the peer.
  var detail: String?
  /// The SPIFFE ID that the encrypted side proved.
  var principal: String?
  /// What the handshake agreed on and how long it took; nil when none completed.
  var tlsVersion: String?
  var tlsCipher: String?
  var tlsResumed: Bool?
  var handshake: UInt64?
  /// From accept to the established upstream connection, to the upstream's first byte, and to the end; nil: never.
  var connect: UInt64?
  var firstByte: UInt64?
  var duration: UInt64
  var receivedBytes: UInt64
  var sentBytes: UInt64

  init(_ record: AccessRecord, listener entry: ListenerDirectory.Entry?, wallOffset: UInt64) {
    wallNanoseconds = record.acceptedAt &+ wallOffset
    listener = entry?.name ?? "-"
    direction = entry?.direction.rawValue ?? "-"
    downstream = record.downstream?.description ?? "-"
    upstream = record.upstream.description
    tls = record.encryption.label
    reason = record.reason.label
    // Nil for a number that this C library doesn't know: then the number has to do.
    errno = record.errno == 0 ? nil : strerrorname_np(record.errno).map { String(cString: $0) } ?? "\(record.errno)"
    detail = (record.denial?.label ?? record.tlsFailure?.label).map { "\($0)" }
    principal = record.principal?.text
    tlsVersion = record.tls?.versionName
    tlsCipher = record.tls?.cipherName
    tlsResumed = record.tls?.isResumed
    handshake = record.tls?.handshakeNanoseconds
    let since = { (time: UInt64) in time < record.acceptedAt ? UInt64(0) : time - record.acceptedAt }
    connect = record.connectedAt == 0 ? nil : since(record.connectedAt)
    firstByte = record.firstByteAt == 0 ? nil : since(record.firstByteAt)
    duration = since(record.closedAt)
    receivedBytes = record.receivedBytes
    sentBytes = record.sentBytes
  }
}
