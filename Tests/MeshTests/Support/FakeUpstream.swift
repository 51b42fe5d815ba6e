// The other side of an outbound sidecar when it isn't one: it does what a test says, and remembers every byte that it
// was sent, as it came over the wire.

import COpenSSL
import Synchronization
import TestSupport

final class FakeUpstream: Sendable {
  /// One connection, and what the upstream has to work with.
  struct Scene {
    let connection: Connection
    /// Whom the sidecar trusts.
    let authority: Authority
    fileprivate let wire: Wire

    /// Waits for the sidecar's hello, or whatever comes in its place.
    func awaitFirstBytes() throws { wire.add(try connection.receive()) }

    /// Speaks TLS with these credentials, and echoes what it gets.
    func serve(_ credentials: Credentials, setUp: (OpaquePointer) -> Void = { _ in }) throws {
      let peer = try ForeignPeer(.server, on: connection, credentials: credentials) { context in
        // As a sidecar asks, but content with any answer: this one is up to no good.
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER) { _, _ in 1 }
        setUp(context)
      }
      peer.onReceive = { [wire] bytes in wire.add(bytes) }
      guard try peer.handshake() else { return }
      while case let part = try peer.receive(), !part.isEmpty {
        try peer.send(String(decoding: part, as: UTF8.self))
      }
    }
  }

  let server: AppServer
  private let wire: Wire

  fileprivate final class Wire: Sendable {
    private let bytes = Mutex<[UInt8]>([])

    func add(_ part: [UInt8]) { bytes.withLock { $0 += part } }
    var all: [UInt8] { bytes.withLock { $0 } }
  }

  init(_ authority: Authority, act: @escaping @Sendable (Scene) throws -> Void) throws {
    let wire = Wire()
    self.wire = wire
    server = try AppServer { connection in
      try act(Scene(connection: connection, authority: authority, wire: wire))
      // Whatever else is sent is heard as well.
      wire.add(try connection.drain().bytes)
    }
  }

  /// Whether a text came over the wire as it is.
  func heard(_ text: String) -> Bool { wire.all.firstRange(of: Array(text.utf8)) != nil }

  /// Whether anything came at all.
  var heardNothing: Bool { wire.all.isEmpty }
}
