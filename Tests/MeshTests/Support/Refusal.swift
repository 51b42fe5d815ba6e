// One way for a peer to be turned away by an inbound listener: what it does, and what must come of it.

import COpenSSL
import TestSupport
import Testing

struct Refusal: Sendable, CustomTestStringConvertible {
  /// What a row's peer has to work with.
  struct Scene {
    let connection: Connection
    /// Whom the sidecar trusts.
    let authority: Authority

    /// A peer with a good certificate, as far as `setUp` leaves it one.
    func peer(
      _ id: String = Authority.clientID, setUp: (OpaquePointer) -> Void = { _ in }
    ) throws -> ForeignPeer {
      try ForeignPeer(on: connection, credentials: try authority.issue(id), setUp: setUp)
    }
  }

  /// What the app may have seen of it.
  enum AppView: Sendable {
    /// Not even a connection.
    case nothing
    /// A connection without a byte, because permissive listeners connect at once.
    case noBytes
    /// `Refusal.goodBytes`, and then a reset.
    case goodBytesThenReset
  }

  /// What a peer says that was let in before it misbehaved, or says to find out whether it was let in.
  static let goodBytes = "hello"

  var testDescription: String
  /// The label `reason` of sidecar_connections_closed_total, and `reason` in the access log.
  var reason: String
  /// `detail` in the access log.
  var detail = "-"
  /// The label `result` of sidecar_tls_handshakes_total; nil: no handshake came to an end.
  var handshake: String?
  /// The label `reason` of sidecar_authorization_denied_total.
  var denial: String?
  var appView = AppView.nothing
  /// The listener's keys, and the sidecar's.
  var options = ["tls": "strict"]
  var settings: [String: String] = [:]
  var act: @Sendable (Scene) throws -> Void

  // MARK: The kinds

  /// The handshake fails.
  static func handshake(
    _ name: String, _ result: String, _ act: @escaping @Sendable (Scene) throws -> Void
  ) -> Refusal {
    Refusal(testDescription: name, reason: "tls_handshake_failed", detail: result, handshake: result, act: act)
  }

  /// The handshake takes too long.
  static func timeout(_ name: String, _ act: @escaping @Sendable (Scene) throws -> Void) -> Refusal {
    Refusal(
      testDescription: name, reason: "handshake_timeout", handshake: "timeout",
      settings: ["timeouts": "{handshake: 1s}"], act: act)
  }

  /// The client itself ends the connection before the handshake is over.
  static func left(
    _ name: String, _ reason: String, _ act: @escaping @Sendable (Scene) throws -> Void
  ) -> Refusal {
    Refusal(testDescription: name, reason: reason, handshake: "aborted", act: act)
  }

  /// The policy says no to a peer that has proved who it is.
  static func denied(
    _ name: String, _ denial: String, allow: String, id: String = Authority.clientID
  ) -> Refusal {
    Refusal(
      testDescription: name, reason: "denied", detail: denial, handshake: "ok", denial: denial,
      options: ["tls": "strict", "allow": allow]
    ) { try enter(try $0.peer(id)) }
  }

  /// TLS breaks after the peer was let in and has said something.
  static func broken(
    _ name: String, _ reason: String, _ detail: String, _ act: @escaping @Sendable (ForeignPeer) throws -> Void
  ) -> Refusal {
    Refusal(testDescription: name, reason: reason, detail: detail, handshake: "ok", appView: .goodBytesThenReset) {
      let peer = try $0.peer { SSL_CTX_set_ciphersuites($0, "TLS_AES_128_GCM_SHA256") }
      guard try peer.handshake() else { throw HarnessError("a good peer was refused") }
      try peer.send(goodBytes)
      // The app answers: what comes now comes in mid-stream.
      guard try peer.receive(goodBytes) else { throw HarnessError("a good peer had no answer") }
      try act(peer)
    }
  }

  /// Tries to get in and to say something. A TLS 1.3 client is done before the server has judged it, so that its first
  /// bytes are on their way by then.
  static func enter(_ peer: ForeignPeer) throws {
    if try peer.handshake() { try peer.send(goodBytes) }
  }

  /// Bytes in place of a handshake.
  static func bytes(_ name: String, _ result: String, _ bytes: [UInt8]) -> Refusal {
    handshake(name, result) { _ = try $0.connection.sendUnlessReset(bytes) }
  }
}
