// Goal: close_notify is the FIN of a TLS stream, whenever it comes and from whichever side: what was sent before it
// arrives, the other direction lives on, and the connection counts as cleanly closed.
// Method: foreign peers that end their streams at the awkward moments, before apps that answer after the end.

import COpenSSL
import TestSupport
import Testing

@Suite("Ends of TLS streams")
struct StreamEndTests {
  private let authority: Authority
  private let identity: IdentityVolume

  init() throws {
    authority = try Authority()
    identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
  }

  private func sidecar(to app: AppServer) throws -> SidecarProcess {
    try SidecarProcess(
      [try .init(to: app, options: ["tls": "strict"])], settings: ["identity": identity.setting])
  }

  /// Reads all of the request, then answers with its size.
  private static func counter() throws -> AppServer {
    try AppServer { connection in
      let (request, ending) = try connection.drain()
      guard ending == .finished else { return }
      try connection.send("\(request.count) bytes")
    }
  }

  @Test("A request and its close_notify in one packet with the end of the handshake", arguments: ["", "request"])
  func endWithTheHandshake(request: String) throws {
    let sidecar = try sidecar(to: try Self.counter())
    let credentials = try authority.issue()
    let rounds = 100
    for _ in 0..<rounds {
      let peer = try ForeignPeer(on: try sidecar.connect(), credentials: credentials)
      try peer.connection.send(peer.handshakeStep())
      var flight: [UInt8] = []
      while flight.isEmpty {
        try #require(try peer.receiveRecords())
        flight = peer.handshakeStep()
      }
      let data = request.isEmpty ? [] : peer.sealed(request)
      try peer.connection.send(flight + data + peer.sealedCloseNotify())
      try #require(try peer.receive("\(request.utf8.count) bytes"))
      #expect(try peer.receive().isEmpty)
      #expect(peer.hasReceivedCloseNotify)
      peer.connection.close()
    }
    try sidecar.awaitClosed("downstream_closed", rounds)
    try sidecar.stop()
  }

  @Test("The client ends first and gets all of a large answer")
  func clientEndsFirst() throws {
    let answerSize = 3_000_000
    let app = try AppServer { connection in
      _ = try connection.drain()
      try connection.send([UInt8](repeating: 0x61, count: answerSize))
    }
    let sidecar = try sidecar(to: app)
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    try peer.send("request")
    try peer.closeNotify()
    try peer.connection.finish()
    var count = 0
    while case let part = try peer.receive(), !part.isEmpty { count += part.count }
    #expect(count == answerSize)
    #expect(peer.hasReceivedCloseNotify)
    try sidecar.awaitClosed("downstream_closed")
    try sidecar.stop()
  }

  @Test("What a client sends behind its close_notify is ignored, and doesn't cut the answer that is on its way")
  func bytesBehindTheEnd() throws {
    let answerSize = 200_000
    let mayAnswer = Counter()
    let app = try AppServer { connection in
      _ = try connection.drain()
      try connection.send("go on")
      try eventually("the client has said more") { mayAnswer.value == 1 }
      try connection.send([UInt8](repeating: 0x61, count: answerSize))
    }
    let sidecar = try sidecar(to: app)
    // Most of the answer waits in the sidecar's socket when the connection ends.
    let peer = try ForeignPeer(on: try sidecar.connect(receiveBuffer: 4_096), credentials: try authority.issue())
    #expect(try peer.handshake())
    try peer.closeNotify()
    #expect(try peer.receive("go on"))
    try peer.connection.send([UInt8](repeating: 23, count: 3_000))
    mayAnswer.add()
    try sidecar.awaitClosed("downstream_closed")
    var count = 0
    while case let part = try peer.receive(), !part.isEmpty { count += part.count }
    #expect(count == answerSize)
    #expect(peer.hasReceivedCloseNotify)
    try sidecar.stop()
  }

  @Test("The app ends first, and still gets what the client says afterwards")
  func appEndsFirst() throws {
    let rightEnds = Counter()
    let app = try AppServer { connection in
      try connection.send("last words")
      try connection.finish()
      let (bytes, ending) = try connection.drain()
      if bytes == Array("afterwards".utf8), ending == .finished { rightEnds.add() }
    }
    let sidecar = try sidecar(to: app)
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    #expect(try peer.receive("last words"))
    #expect(try peer.receive().isEmpty)
    #expect(peer.hasReceivedCloseNotify)
    try peer.send("afterwards")
    try peer.closeNotify()
    peer.connection.close()
    try sidecar.awaitClosed("upstream_closed")
    try eventually("the app has seen what came afterwards, and the end") { rightEnds.value == 1 }
    try sidecar.stop()
  }

  @Test("Key updates in mid-stream, asked for by the peer, change nothing for the app")
  func keyUpdates() throws {
    let sidecar = try sidecar(to: try AppServer.echo())
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    for round in 0..<50 {
      #expect(SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
      try peer.send("round \(round)")
      #expect(try peer.receive("round \(round)"))
    }
    try peer.closeNotify()
    peer.connection.close()
    try sidecar.awaitClosed("downstream_closed")
    try sidecar.stop()
  }

  @Test("A reset by the app reaches the peer as a reset, without a close_notify")
  func appResets() throws {
    let app = try AppServer { connection in
      _ = try connection.receive(exactly: 4)
      connection.reset()
    }
    let sidecar = try sidecar(to: app)
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    #expect(try peer.handshake())
    try peer.send("ping")
    #expect(try peer.receive().isEmpty)
    #expect(!peer.hasReceivedCloseNotify)
    try sidecar.awaitClosed("upstream_reset")
    try sidecar.stop()
  }
}
