// The ways of being turned away, by the phase in which it happens.

import COpenSSL
import TestSupport

extension Refusal {
  static let all = firstBytes + hellos + stalls + certificates + policy + midStream

  // MARK: Before any hello

  private static let firstBytes: [Refusal] = [
    bytes("plain text on a strict listener", "not_tls", Array("hello, is anybody there?\r\n".utf8)),
    bytes("HTTP on a strict listener", "plain_http", Array("GET / HTTP/1.1\r\nHost: app\r\n\r\n".utf8)),
    bytes("an HTTP proxy request", "plain_http", Array("CONNECT app:443 HTTP/1.1\r\n\r\n".utf8)),
    bytes("SSH", "not_tls", Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)),
    bytes("zeros", "not_tls", [UInt8](repeating: 0, count: 4_096)),
    bytes("an SSL 2 hello", "malformed_message", [0x80, 0x2e, 1, 0, 2] + [UInt8](repeating: 5, count: 43)),
    bytes("an alert first", "unexpected_message", [21, 3, 1, 0, 2, 2, 40]),
    bytes("application data first", "unexpected_message", [23, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
    bytes("an unknown record type", "unexpected_message", [99, 3, 1, 0, 5, 1, 2, 3, 4, 5]),
    bytes(
      "a hello of garbage", "malformed_message", [22, 3, 1, 0, 44, 1, 0, 0, 40] + [UInt8](repeating: 0xa5, count: 40)),
    bytes("an empty hello", "malformed_message", [22, 3, 1, 0, 4, 1, 0, 0, 0]),
    bytes("an oversized record", "record_too_large", [22, 3, 1, 0xff, 0xff] + [UInt8](repeating: 1, count: 1_000)),
    bytes(
      "an oversized hello", "record_too_large",
      [22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff] + [UInt8](repeating: 0, count: 16_380)),
    left("no byte at all, then FIN", "downstream_closed") { try $0.connection.finish() },
    left("a reset before the first byte", "downstream_reset") { $0.connection.reset() },
  ]

  // MARK: Hellos that nobody can agree to, and handshakes that break

  private static let hellos: [Refusal] = [
    handshake("TLS 1.2 only", "protocol_version") { try enter(try $0.peer { limit($0, to: TLS1_2_VERSION) }) },
    handshake("TLS 1.1 only", "protocol_version") { try enter(try $0.peer { limit($0, to: TLS1_1_VERSION) }) },
    handshake("TLS 1.0 only", "protocol_version") { try enter(try $0.peer { limit($0, to: TLS1_VERSION) }) },
    handshake("a cipher that we don't have", "no_common_cipher") {
      try enter(try $0.peer { SSL_CTX_set_ciphersuites($0, "TLS_AES_128_CCM_SHA256") })
    },
    handshake("a group that we don't have", "no_common_group") {
      try enter(try $0.peer { _ = shim_SSL_CTX_set1_groups_list($0, "P-521") })
    },
    handshake("a signature that we can't make", "no_common_signature") {
      try enter(try $0.peer { _ = shim_SSL_CTX_set1_sigalgs_list($0, "ed448") })
    },
    handshake("a client that doesn't trust us", "peer_refused_certificate") {
      // It has an empty trust store.
      try enter(try $0.peer { SSL_CTX_set_verify($0, SSL_VERIFY_PEER, nil) })
    },
    handshake("a fatal alert after the hello", "peer_alert") {
      let hello = try $0.peer().handshakeStep()
      try $0.connection.send(hello + [21, 3, 3, 0, 2, 2, 80])
    },
    handshake("a second hello after the first", "unexpected_message") {
      let hello = try $0.peer().handshakeStep()
      try $0.connection.send(hello + hello)
    },
    handshake("a flight with a bad MAC", "bad_record_mac") {
      var flight = try secondFlight(try $0.peer())
      flight[flight.count - 1] ^= 1
      _ = try $0.connection.sendUnlessReset(flight)
    },
    left("half a hello, then FIN", "downstream_closed") {
      try $0.connection.send(half(try $0.peer().handshakeStep()))
      try $0.connection.finish()
    },
    left("half a flight, then a reset", "downstream_reset") {
      try $0.connection.send(half(try secondFlight(try $0.peer())))
      $0.connection.reset()
    },
  ]

  // MARK: Handshakes that never end

  private static let stalls: [Refusal] = [
    timeout("no byte at all") { _ in },
    timeout("half a hello, then nothing") { try $0.connection.send(half(try $0.peer().handshakeStep())) },
    timeout("a hello one byte at a time that stops before its last") {
      for byte in try $0.peer().handshakeStep().dropLast() { try $0.connection.send([byte]) }
    },
    timeout("a hello, then nothing") { try $0.connection.send(try $0.peer().handshakeStep()) },
    timeout("half a flight, then nothing") { try $0.connection.send(half(try secondFlight(try $0.peer()))) },
  ]

  // MARK: Certificates

  private static let certificates: [Refusal] =
    [
      handshake("no certificate", "certificate_missing") {
        try enter(try ForeignPeer(on: $0.connection, credentials: nil))
      }
    ]
    + (BadCertificate.all + [.serverOnly]).map { bad in
      handshake("a certificate \(bad.testDescription)", bad.reason) {
        let credentials = try bad.issue($0.authority, Authority.clientID)
        try enter(try ForeignPeer(on: $0.connection, credentials: credentials))
      }
    }

  // MARK: The policy

  private static let policy: [Refusal] = [
    denied("an empty allow list", "no_rules", allow: "[]"),
    denied(
      "a principal that no rule names", "principal",
      allow: #"[{principals: ["spiffe://cluster.local/ns/web/sa/backend"]}]"#),
    denied(
      "a wildcard that is one segment too short", "principal",
      allow: #"[{principals: ["spiffe://cluster.local/ns/*"]}]"#),
    denied(
      "another trust domain", "principal", allow: #"[{principals: ["spiffe://cluster.local/**"]}]"#,
      id: "spiffe://cluster.example/ns/web/sa/frontend"),
    denied(
      "a source that no rule names", "source",
      allow: #"[{principals: ["spiffe://cluster.local/**"], sources: [10.0.0.0/8, "::1/128"]}]"#),
    Refusal(
      testDescription: "plain text where the rules ask for a principal", reason: "denied", detail: "no_identity",
      denial: "no_identity", appView: .noBytes,
      options: ["tls": "permissive", "allow": #"[{principals: ["spiffe://cluster.local/**"]}]"#]
    ) { _ = try $0.connection.sendUnlessReset(Array(goodBytes.utf8)) },
  ]

  // MARK: After the handshake

  private static let midStream: [Refusal] = [
    broken("a bad MAC in mid-stream", "tls_failed", "bad_record_mac") { peer in
      var record = peer.sealed("more")
      record[record.count - 1] ^= 1
      try peer.connection.send(record)
    },
    broken("a record sealed for another place in the stream", "tls_failed", "bad_record_mac") { peer in
      _ = peer.sealed("left out")
      try peer.connection.send(peer.sealed("more"))
    },
    broken("a fatal alert in mid-stream", "tls_failed", "peer_alert") { peer in
      try peer.connection.send(try peer.forgedRecord(type: 21, [2, 80]))
    },
    broken("renegotiation: an encrypted hello in mid-stream", "tls_failed", "unexpected_message") { peer in
      let hello = try peer.sibling().handshakeStep()
      // Without the header of its record, which the encrypted one brings.
      try peer.connection.send(try peer.forgedRecord(type: 22, Array(hello.dropFirst(5))))
    },
    broken("an encrypted change of cipher", "tls_failed", "unexpected_message") { peer in
      try peer.connection.send(try peer.forgedRecord(type: 20, [1]))
    },
    broken("an encrypted record of a type that doesn't exist", "tls_failed", "unexpected_message") { peer in
      try peer.connection.send(try peer.forgedRecord(type: 99, [1, 2, 3]))
    },
    broken("an unencrypted handshake record in mid-stream", "tls_failed", "unexpected_message") { peer in
      try peer.connection.send([22, 3, 3, 0, 4, 0, 0, 0, 0])
    },
    broken("plain text in mid-stream", "tls_failed", "not_tls") { peer in
      try peer.connection.send("hello in the clear")
    },
    broken("an oversized record in mid-stream", "tls_failed", "record_too_large") { peer in
      try peer.connection.send([23, 3, 3, 0x41, 0x01] + [UInt8](repeating: 0, count: 16_641))
    },
    broken("FIN without close_notify", "tls_truncated", "-") { try $0.connection.finish() },
    broken("a truncated record, then FIN", "tls_truncated", "-") { peer in
      try peer.connection.send(half(peer.sealed("more")))
      try peer.connection.finish()
    },
    broken("a truncated record, then a reset", "downstream_reset", "-") { peer in
      try peer.connection.send(half(peer.sealed("more")))
      peer.connection.reset()
    },
  ]

  // MARK: Helpers

  private static func limit(_ context: OpaquePointer, to version: Int32) {
    SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, 0, nil)
    SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(version), nil)
    // libssl speaks TLS 1.1 and older on its lowest security level only.
    SSL_CTX_set_security_level(context, 0)
  }

  private static func half(_ bytes: [UInt8]) -> [UInt8] { Array(bytes.prefix(bytes.count / 2)) }

  /// Has the hello answered.
  /// - Returns: the client's certificate, signature and Finished.
  private static func secondFlight(_ peer: ForeignPeer) throws -> [UInt8] {
    try peer.connection.send(peer.handshakeStep())
    while true {
      guard try peer.receiveRecords() else { throw HarnessError("a good hello had no answer") }
      let flight = peer.handshakeStep()
      if !flight.isEmpty { return flight }
    }
  }
}
