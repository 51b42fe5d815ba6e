// Goal: an inbound port offers TLS 1.3 and nothing older, with the ciphers and groups that we mean to offer, to
// somebody who looks for more.
// Method: sslscan, which tries every version, and reads the answers byte by byte with code of its own.

import TestSupport
import Testing

@Suite("Scanners")
struct ScannerTests {
  @Test(
    "sslscan finds TLS 1.3 only", .enabled(if: Programs.allow("sslscan"), "needs Debian's sslscan"),
    arguments: ["strict", "permissive"])
  func sslscan(mode: String) throws {
    let directory = try TemporaryDirectory()
    // The app behind a permissive listener speaks plain text: a scanner that is passed through finds no TLS at all.
    let app = try AppServer {
      _ = try $0.receive()
      try $0.send("not TLS\r\n")
    }
    let authority = try Authority()
    let identity = try IdentityVolume(try authority.issue(Authority.serverID), bundle: authority.bundle)
    let sidecar = try SidecarProcess(
      [try .init(to: app, options: ["tls": mode])], settings: ["identity": identity.setting])
    let report = directory.file("report.xml")
    try ChildProcess.run(
      [
        try Programs.path("sslscan"), "--no-colour", "--no-check-certificate", "--xml=\(report)",
        "\(try sidecar.endpoint())",
      ], in: directory)

    let elements = try Self.elements(of: try Files.read(report))
    let versions = elements.filter { $0.name == "protocol" && $0.attributes["enabled"] == "1" }
      .map { "\($0.attributes["type"] ?? "") \($0.attributes["version"] ?? "")" }
    let ciphers = elements.filter { $0.name == "cipher" }
    switch mode {
    case "strict":
      #expect(versions == ["tls 1.3"])
      #expect(Set(ciphers.compactMap { $0.attributes["sslversion"] }) == ["TLSv1.3"])
      let names = ciphers.compactMap { $0.attributes["cipher"] }
      #expect(!names.isEmpty && names.allSatisfy { $0.hasPrefix("TLS_AES_") || $0.hasPrefix("TLS_CHACHA20_") })
      let groups = elements.filter { $0.name == "group" }.compactMap { $0.attributes["name"] }
      // Each with its other name in parentheses, if it has one.
      #expect(Set(groups.map { $0.prefix { $0 != " " } }) == ["x25519", "secp256r1"])
      #expect(!elements.contains { $0.name == "renegotiation" && $0.attributes["supported"] == "1" })
    default:
      #expect(versions.isEmpty && ciphers.isEmpty)
    }
    #expect(app.acceptedCount == 0 || mode == "permissive")
    try sidecar.stop()
  }

  private struct Element {
    var name: String
    var attributes: [String: String]
  }

  /// The opening tags of a document as sslscan writes it: one per line, attributes in double quotes.
  private static func elements(of xml: String) throws -> [Element] {
    let elements = xml.split(separator: "<").compactMap { tag -> Element? in
      guard let first = tag.first, first.isLetter, let end = tag.firstIndex(of: ">") else { return nil }
      let name = tag.prefix { $0 != " " && $0 != ">" }
      var attributes: [String: String] = [:]
      // name="value" name="value": every other part is a value.
      let parts = tag[name.endIndex..<end].split(separator: "\"", omittingEmptySubsequences: false)
      for index in stride(from: 0, to: parts.count - 1, by: 2) {
        attributes[String(parts[index].filter { $0 != " " && $0 != "=" })] = String(parts[index + 1])
      }
      return Element(name: String(name), attributes: attributes)
    }
    guard elements.contains(where: { $0.name == "ssltest" }) else { throw HarnessError("not sslscan's report: \(xml)") }
    return elements
  }
}
