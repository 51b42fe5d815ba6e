// Goal: whoever must not get in doesn't, for a reason of its own that the metrics and the access log both tell, and not
// a byte of it reaches the app; whoever breaks TLS after it was let in is cut off, and the app sees a reset.
// Method: a sidecar for each way of misbehaving, one peer that does it, and an app that remembers all that it sees.

import Synchronization
import TestSupport
import Testing

@Suite("Refusals")
struct RefusalTests {
  @Test(arguments: Refusal.all)
  func refused(row: Refusal) throws {
    let app = try RecordingApp()
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [try .init(to: app.server, options: row.options)],
      settings: row.settings.merging(["identity": identity.setting]) { $1 })
    let connection = try sidecar.connect()
    try row.act(Refusal.Scene(connection: connection, authority: authority))
    connection.awaitEnd()

    try sidecar.awaitClosed(row.reason)
    try expectMetrics(try sidecar.metrics(), of: row)
    let lines = try sidecar.awaitAccessLog(1)
    #expect(lines.map { $0["reason"] } == [row.reason])
    #expect(lines.map { $0["detail"] } == [row.detail])
    try expectAppView(of: row, app)
    if row.denial == nil {
      // Nothing is left of it: the next peer is served.
      let good = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
      #expect(try good.handshake())
      try good.send("next")
      #expect(try good.receive("next"))
    }
    try sidecar.stop()
  }

  @Test("A peer that is only slow gets in: its handshake comes one byte at a time")
  func slowHandshake() throws {
    let app = try RecordingApp()
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [try .init(to: app.server, options: ["tls": "strict"])],
      settings: ["identity": identity.setting, "timeouts": "{handshake: 60s}"])
    let peer = try ForeignPeer(on: try sidecar.connect(), credentials: try authority.issue())
    for byte in peer.handshakeStep() { try peer.connection.send([byte]) }
    var flight: [UInt8] = []
    while flight.isEmpty {
      try #require(try peer.receiveRecords())
      flight = peer.handshakeStep()
    }
    for byte in flight + peer.sealed("hello") { try peer.connection.send([byte]) }
    #expect(try peer.receive("hello"))
    try peer.closeNotify()
    peer.connection.close()
    try sidecar.awaitClosed("downstream_closed")
    #expect(try app.awaitSeen(1).map(\.bytes) == [Array("hello".utf8)])
    try sidecar.stop()
  }

  /// One connection, which ended for this reason and no other.
  private func expectMetrics(_ metrics: MetricsText, of row: Refusal) throws {
    let nonZero = { (name: String, label: String) in
      metrics.series(name).filter { $0.value != 0 }.map { "\($0.labels[label] ?? "") \(Int($0.value))" }
    }
    #expect(nonZero("sidecar_connections_closed_total", "reason") == ["\(row.reason) 1"])
    #expect(nonZero("sidecar_tls_handshakes_total", "result") == (row.handshake.map { ["\($0) 1"] } ?? []))
    #expect(nonZero("sidecar_authorization_denied_total", "reason") == (row.denial.map { ["\($0) 1"] } ?? []))
  }

  private func expectAppView(of row: Refusal, _ app: RecordingApp) throws {
    switch row.appView {
    case .nothing:
      #expect(app.server.acceptedCount == 0)
    case .noBytes:
      #expect(try app.awaitSeen(1).allSatisfy { $0.bytes.isEmpty })
    case .goodBytesThenReset:
      let seen = try app.awaitSeen(1)
      #expect(seen.map { String(decoding: $0.bytes, as: UTF8.self) } == [Refusal.goodBytes])
      #expect(seen.map(\.ending) == [.reset])
    }
  }
}
