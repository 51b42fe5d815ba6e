// Goal: whatever a peer does that no proper implementation would, the sidecar answers as RFC 8446 says, gives its reason,
// and shows its app either a whole stream or one that was cut; and what is odd but right gets through.
// Method: Tests/Conversations, which makes TLS 1.3 by hand and plays both the peer and the app. This side holds what it
// says must have happened against the access log.

import TestSupport
import Testing

@Suite("Conversations with peers that make TLS by hand")
struct ConversationTests {
  @Test(
    .enabled(if: Programs.allow("python-tlslite"), "needs scripts/install-tlslite .build/tools, and that in PATH"),
    arguments: ["client", "server"])
  func conversations(role: String) throws {
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let peer = try IdentityVolume(try authority.issue(Authority.clientID), bundle: authority.bundle)
    // The app of an inbound listener, or the upstream of an outbound one.
    let other = try Endpoint.freeLoopback()
    let listener =
      role == "client"
      ? try SidecarProcess.Listener("inbound", target: "\(other)", options: ["tls": "strict"])
      : try .outbound(to: other, principals: [Authority.clientID])
    let sidecar = try SidecarProcess(
      [listener], settings: ["identity": identity.setting, "timeouts": "{handshake: 60s}"])
    let before = try sidecar.idleDescriptorCounts()
    let output = try ChildProcess.run(
      [
        try Programs.path("python-tlslite"), Self.program, role, "\(listener.bind.port)", "\(other.port)",
        peer.certificatePath, peer.privateKeyPath,
      ], in: sidecar.directory, within: .seconds(300))

    let rows = try output.split(separator: "\n").map(Row.init)
    try #require(rows.count > 100, "conversations are missing")
    let log = try sidecar.awaitAccessLog(rows.count)
    // A port that was used twice was used one time after the other, on both sides.
    var linesOfPort = Dictionary(grouping: log.reversed()) { $0["downstream"]?.port ?? "-" }
    for row in rows {
      #expect(row.problem == "-", "\(row.name)")
      let line = linesOfPort[row.port]?.popLast()
      #expect(line?["reason"] == row.reason && line?["detail"] == row.detail, "\(row.name): \(line ?? [:])")
    }
    print("\(rows.count) connections of a \(role)")

    // Nothing is left of them: every handshake and every end is counted, and everything was given back.
    let metrics = try sidecar.awaitNothingLeft(since: before)
    #expect(metrics.sum("sidecar_connections_closed_total") == rows.count)
    for (reason, rows) in Dictionary(grouping: rows, by: \.reason) {
      #expect(metrics.sum("sidecar_connections_closed_total", ["reason": reason]) == rows.count, "\(reason)")
    }
    let failed = Dictionary(grouping: rows.filter { $0.reason == "tls_handshake_failed" }, by: \.detail)
    for (detail, rows) in failed {
      #expect(metrics.sum("sidecar_tls_handshakes_total", ["result": detail]) == rows.count, "\(detail)")
    }
    try sidecar.stop()
  }

  /// A line that the program prints: what must have become of one connection.
  private struct Row {
    let port: String
    let reason: String
    let detail: String
    let problem: String
    let name: String

    init(_ line: Substring) throws {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      guard fields.count == 5 else { throw HarnessError("not a result: \(line)") }
      (port, reason, detail, problem, name) = (fields[0], fields[1], fields[2], fields[3], fields[4])
    }
  }

  private static let program: String = {
    let tests = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
    return "\(tests)/Conversations"
  }()
}

extension String {
  /// What follows the last colon of an address.
  fileprivate var port: String { String(split(separator: ":").last ?? "") }
}
