// Goal: a permissive listener tells the mesh's hello from every other beginning, and no bytes can harm it.
// Method: real hellos of libssl's, cut at each byte, cut into records, and changed by seed.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct ClientHelloInspectorTests {
  private static let alpn = Configuration.Identity.alpnDefault

  private func inspect(_ bytes: [UInt8], alpn: String = alpn) -> ClientHelloInspector.Verdict {
    Array(alpn.utf8).withUnsafeBytes { name in
      bytes.withUnsafeBytes { ClientHelloInspector.inspect($0, protocolName: name) }
    }
  }

  private func ourHello() throws -> [UInt8] {
    let client = Endpoint(try Mesh().client, .client)
    client.step()
    return client.outbox
  }

  private func foreignHello(_ protocols: [String]) -> [UInt8] {
    let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    let peer = ForeignPeer { ForeignPeer.offer(list, in: $0) }
    SSL_do_handshake(peer.ssl)
    ERR_clear_error()
    return peer.takeOutput()
  }

  @Test func hellosAreToldApart() throws {
    let ours = try ourHello()
    #expect(inspect(ours) == .tlsWithOurALPN)
    #expect(inspect(ours, alpn: "sidecar-proxy/2") == .otherTLS)
    #expect(inspect(ours, alpn: "sidecar-proxy") == .otherTLS)
    #expect(inspect(foreignHello([])) == .otherTLS)
    #expect(inspect(foreignHello(["h2", "http/1.1"])) == .otherTLS)
    #expect(inspect(foreignHello(["h2", Self.alpn])) == .tlsWithOurALPN)
    #expect(inspect(foreignHello([Self.alpn + "x", "x" + Self.alpn])) == .otherTLS)
  }

  @Test func everySplitAsksForMoreUntilItIsKnown() throws {
    let ours = try ourHello()
    var known = false
    for count in 0...ours.count {
      switch inspect(Array(ours.prefix(count))) {
      case .needMoreBytes: #expect(!known, "a verdict was taken back at \(count)")
      case .tlsWithOurALPN: known = true
      case let verdict: Issue.record("\(verdict) at \(count)")
      }
    }
    #expect(known)

    let others = foreignHello(["h2"])
    for count in 0..<others.count { #expect(inspect(Array(others.prefix(count))) == .needMoreBytes) }
    #expect(inspect(others) == .otherTLS)
  }

  @Test(arguments: [1, 2, 3, 5, 64, 255])
  func helloMaySpanRecords(size: Int) throws {
    let ours = try ourHello()
    var rest = ours.dropFirst(5)
    var cut: [UInt8] = []
    while !rest.isEmpty {
      let part = rest.prefix(size)
      cut += [22, 3, 1, 0, UInt8(part.count)] + part
      rest = rest.dropFirst(part.count)
    }
    #expect(inspect(cut) == .tlsWithOurALPN)
  }

  @Test func everythingElseIsNotTLS() {
    for text in [
      "GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "EHLO a\r\n", "*1\r\n$4\r\nPING\r\n", "\u{16}\u{2}\u{0}", "\0\0\0\u{8}",
    ] {
      #expect(inspect(Array(text.utf8)) == .notTLS)
    }
    #expect(inspect([]) == .needMoreBytes)
    #expect(inspect([22]) == .needMoreBytes)
    #expect(inspect([22, 4]) == .notTLS)
    #expect(inspect([22, 3, 5]) == .notTLS)
    #expect(inspect([22, 3, 1, 0, 0]) == .notTLS, "an empty record")
    #expect(inspect([22, 3, 1, 0x40, 1]) == .notTLS, "a record over 2^14")
    #expect(inspect([22, 3, 1, 0, 4, 2, 0, 0, 0]) == .otherTLS, "a ServerHello")
    #expect(inspect([22, 3, 1, 0, 4, 1, 0, 0x40, 1]) == .otherTLS, "a hello over 16 KiB")
    #expect(inspect([21, 3, 1, 0, 2, 2, 40]) == .notTLS)
    // SSLv2's hello begins with its length.
    #expect(inspect([0x80, 0x2e, 1, 3, 1]) == .notTLS)
  }

  @Test func waitingHasABound() {
    // One byte per record, for ever: the header says 16 KiB, and the peek buffer is full before they are there.
    var crumbs: [UInt8] = []
    for byte in [1, 0, 0x40, 0] + [UInt8](repeating: 3, count: 10_000) { crumbs += [22, 3, 1, 0, 1, byte] }
    #expect(inspect(Array(crumbs.prefix(ClientHelloInspector.bytesMax - 1))) != .notTLS)
    #expect(inspect(Array(crumbs.prefix(ClientHelloInspector.bytesMax))) == .otherTLS)
  }

  @Test(arguments: 0..<50)
  func changedHellosNeverTrap(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let ours = try ourHello()
    for _ in 0..<2_000 {
      var bytes = ours
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8(truncatingIfNeeded: generator.next())
        case 1: bytes[Int.random(in: 0..<bytes.count, using: &generator)] = 0xff
        case 2: bytes.removeSubrange(Int.random(in: 0..<bytes.count, using: &generator)...)
        default: bytes.insert(0, at: Int.random(in: 0...bytes.count, using: &generator))
        }
        if bytes.isEmpty { bytes = [22] }
      }
      // Any verdict will do: what counts is that there is one, and that more bytes don't turn TLS into plain text.
      let verdict = inspect(bytes)
      if verdict == .tlsWithOurALPN { #expect(inspect(bytes + [0]) == .tlsWithOurALPN) }
    }
    for _ in 0..<2_000 {
      let count = Int.random(in: 0...100, using: &generator)
      _ = inspect([22, 3, 1, 0, UInt8(count), 1] + generator.bytes(count))
    }
  }
}
