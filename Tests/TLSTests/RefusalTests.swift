// Goal: a peer that must not get in doesn't, and each kind of peer is refused for its own reason, before a byte of plaintext
// comes out.
// Method: a good server or client of ours against peers whose certificates, hellos or records are bad in one way each.

import COpenSSL
import Testing

@testable import ProxyCore

@Suite struct RefusalTests {
  /// A way to spoil the certificate of a client, and the reason that the server must give.
  struct BadCertificate: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let expected: TLSFailure
    let spoil: @Sendable (inout CertificateTemplate) -> Void

    init(_ name: String, _ expected: TLSFailure, _ spoil: @escaping @Sendable (inout CertificateTemplate) -> Void) {
      (testDescription, self.expected, self.spoil) = (name, expected, spoil)
    }
  }

  static let badCertificates = [
    BadCertificate("expired", .certificateExpired) { $0.notAfter = testNow - 10 },
    BadCertificate("not yet valid", .certificateNotYetValid) { $0.notBefore = testNow + 1000 },
    BadCertificate("no URI name", .certificateWithoutURI) { $0.uris = [] },
    BadCertificate("a DNS name only", .certificateWithoutURI) { ($0.uris, $0.dnsNames) = ([], ["web.local"]) },
    BadCertificate("two URI names", .certificateWithSeveralURIs) { $0.uris.append("spiffe://cluster.local/other") },
    BadCertificate("a SPIFFE and another URI", .certificateWithSeveralURIs) { $0.uris.append("https://web.local/") },
    BadCertificate("an https URI", .certificateURINotSPIFFE) { $0.uris = ["https://cluster.local/ns/web"] },
    BadCertificate("an upper-case scheme", .certificateURINotSPIFFE) { $0.uris = ["SPIFFE://cluster.local/web"] },
    BadCertificate("a port in the trust domain", .certificateURINotSPIFFE) { $0.uris = ["spiffe://cluster:1/web"] },
    BadCertificate("a zero byte in the URI", .certificateURINotSPIFFE) { $0.uris = ["spiffe://cluster.local/web\0/x"] },
    BadCertificate("an empty URI", .certificateURINotSPIFFE) { $0.uris = [""] },
    BadCertificate("an overlong URI", .certificateURINotSPIFFE) {
      $0.uris = ["spiffe://cluster.local/" + String(repeating: "a", count: 2048)]
    },
    BadCertificate("no path in the SPIFFE ID", .certificateWithoutPath) { $0.uris = ["spiffe://cluster.local"] },
    BadCertificate("a CA", .certificateIsCA) { $0.isCA = true },
    BadCertificate("keyCertSign on a leaf", .certificateIsCA) { $0.keyUsage = "digitalSignature,keyCertSign" },
    BadCertificate("cRLSign on a leaf", .certificateIsCA) { $0.keyUsage = "digitalSignature,cRLSign" },
    BadCertificate("no digitalSignature", .certificateUsage) { $0.keyUsage = "keyAgreement" },
    BadCertificate("for servers only", .certificateUsage) { $0.extendedKeyUsage = "serverAuth" },
    BadCertificate("for mail", .certificateUsage) { $0.extendedKeyUsage = "emailProtection" },
  ]

  @Test(arguments: badCertificates)
  func badClientCertificateIsRefusedWithItsReason(bad: BadCertificate) throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    var template = CertificateTemplate(commonName: "client", now: testNow, lifetime: 3600)
    template.uris = [Mesh.clientID]
    bad.spoil(&template)
    let identity = try authority.issue(template)
    let client = ForeignPeer { ForeignPeer.use(identity, in: $0) }
    let server = Endpoint(mesh.server, .server)
    client.handshake(with: server)
    #expect(server.failure == bad.expected)
    #expect(!server.isComplete && server.peerURI == nil)
  }

  @Test(arguments: badCertificates.filter { $0.testDescription != "for servers only" })
  func badServerCertificateIsRefusedWithItsReason(bad: BadCertificate) throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    var template = CertificateTemplate(commonName: "server", now: testNow, lifetime: 3600)
    template.uris = [Mesh.serverID]
    bad.spoil(&template)
    let identity = try authority.issue(template)
    let server = ForeignPeer(.server) { ForeignPeer.use(identity, in: $0) }
    let client = Endpoint(mesh.client, .client)
    client.step()
    server.handshake(with: client)
    #expect(client.failure == bad.expected)
    #expect(!client.isComplete && client.peerURI == nil)
  }

  @Test func strangersCAIsRefusedOnBothSides() throws {
    let (ours, theirs) = (try Mesh(), try Mesh())
    let fromStranger = Pair(theirs.client, ours.server)
    fromStranger.run()
    // The client looks first, at the server's certificate, and its alert is what the server sees.
    #expect(fromStranger.client.failure == .certificateUntrusted)
    #expect(fromStranger.server.failure == .peerRefusedCertificate)

    let authority = try Mesh.authority()
    let identity = try authority.issue(SPIFFEID(Mesh.clientID), now: testNow)
    let stranger = ForeignPeer { ForeignPeer.use(identity, in: $0) }
    let server = Endpoint(ours.server, .server)
    stranger.handshake(with: server)
    #expect(server.failure == .certificateUntrusted)
  }

  @Test func selfSignedLeafIsRefused() throws {
    let mesh = try Mesh()
    var template = CertificateTemplate(commonName: "self", now: testNow, lifetime: 3600)
    template.uris = [Mesh.clientID]
    // A "CA" by a leaf's template issues nothing: it only signs itself.
    let itself = try DevelopmentAuthority(template)
    let identity = try itself.issue(template)
    let client = ForeignPeer { ForeignPeer.use(identity, in: $0) }
    let server = Endpoint(mesh.server, .server)
    client.handshake(with: server)
    #expect(server.failure == .certificateUntrusted)
  }

  @Test func clientWithoutCertificateIsRefused() throws {
    let mesh = try Mesh()
    let client = ForeignPeer { _ in }
    let server = Endpoint(mesh.server, .server)
    client.handshake(with: server)
    #expect(server.failure == .certificateMissing)
    #expect(!server.isComplete)
  }

  @Test("A chain is refused by its size, before its certificates are parsed, and one of five certificates is not")
  func longChain() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let identity = try authority.issue(SPIFFEID(Mesh.clientID), now: testNow)
    let needless = try #require(PEMBytes(copying: mesh.bundle).certificates()?.first)
    defer { X509_free(needless) }
    for (count, failure) in [(4, nil), (40, TLSFailure.recordTooLarge)] {
      let server = Endpoint(mesh.server, .server)
      let client = ForeignPeer { context in
        ForeignPeer.use(identity, in: context)
        for _ in 0..<count { _ = shim_SSL_CTX_add1_chain_cert(context, needless) }
      }
      client.handshake(with: server)
      #expect(server.failure == failure)
      #expect(server.isComplete == (failure == nil))
    }
  }

  @Test func onlyTLS13IsSpoken() throws {
    let mesh = try Mesh()
    let client = ForeignPeer { SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil) }
    let server = Endpoint(mesh.server, .server)
    client.handshake(with: server)
    #expect(server.failure == .protocolVersion)

    let oldServer = ForeignPeer(.server) { context in
      SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
    }
    let ourClient = Endpoint(mesh.client, .client)
    ourClient.step()
    oldServer.handshake(with: ourClient)
    #expect(ourClient.failure == .peerRefusedHandshake)
  }

  @Test func hellosWithoutCommonGroundAreRefused() throws {
    let mesh = try Mesh()
    let group = ForeignPeer { _ = shim_SSL_CTX_set1_groups_list($0, "P-521") }
    let server = Endpoint(mesh.server, .server)
    group.handshake(with: server)
    #expect(server.failure == .noCommonGroup)

    let cipher = ForeignPeer { SSL_CTX_set_ciphersuites($0, "TLS_AES_128_CCM_SHA256") }
    let other = Endpoint(mesh.server, .server)
    cipher.handshake(with: other)
    #expect(other.failure == .noCommonCipher)

    let signature = ForeignPeer { _ = shim_SSL_CTX_set1_sigalgs_list($0, "ed448") }
    let third = Endpoint(mesh.server, .server)
    signature.handshake(with: third)
    #expect(third.failure == .noCommonSignature)
  }

  /// First bytes that are no ClientHello of TLS 1.3, and the reason that the server must give.
  struct FirstBytes: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let expected: TLSFailure

    init(_ name: String, _ bytes: [UInt8], _ expected: TLSFailure) {
      (testDescription, self.bytes, self.expected) = (name, bytes, expected)
    }
  }

  static let firstBytes = [
    FirstBytes("HTTP", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), .plainHTTP),
    FirstBytes("HTTP POST", Array("POST /x HTTP/1.1\r\nHost: a\r\n\r\n".utf8), .plainHTTP),
    FirstBytes("HTTP proxy", Array("CONNECT a:443 HTTP/1.1\r\n\r\n".utf8), .plainHTTP),
    FirstBytes("plain text", Array("hello, is anybody there?\r\n".utf8), .notTLS),
    FirstBytes("SSH", Array("SSH-2.0-OpenSSH_9.2\r\n".utf8), .notTLS),
    FirstBytes("zeros", [UInt8](repeating: 0, count: 64), .notTLS),
    FirstBytes("an alert first", [21, 3, 1, 0, 2, 2, 40], .unexpectedMessage),
    FirstBytes("application data first", [23, 3, 3, 0, 5, 1, 2, 3, 4, 5], .unexpectedMessage),
    FirstBytes("an overlong record", [22, 3, 1, 0xff, 0xff] + [UInt8](repeating: 1, count: 100), .recordTooLarge),
    FirstBytes(
      "an overlong hello", [22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff] + [UInt8](repeating: 0, count: 16_380),
      .recordTooLarge),
    FirstBytes(
      "a hello of garbage", [22, 3, 1, 0, 44, 1, 0, 0, 40] + [UInt8](repeating: 0xa5, count: 40), .malformedMessage),
    FirstBytes("an empty hello", [22, 3, 1, 0, 4, 1, 0, 0, 0], .malformedMessage),
  ]

  @Test(arguments: firstBytes)
  func badFirstBytesAreRefusedWithTheirReason(first: FirstBytes) throws {
    let (bytes, expected) = (first.bytes, first.expected)
    let mesh = try Mesh()
    let server = Endpoint(mesh.server, .server)
    server.inbox = bytes
    server.step()
    #expect(server.failure == expected)

    let trickled = Endpoint(mesh.server, .server)
    trickled.inbox = bytes
    for _ in 0..<bytes.count { trickled.step(inputMax: 1) }
    #expect(trickled.failure == expected, "one byte at a time")
  }

  @Test(arguments: 0..<200)
  func garbageInTheHandshakeNeverTraps(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let mesh = try Mesh()
    let pair = Pair(mesh.client, mesh.server)
    pair.client.step()
    var hello = pair.client.outbox
    // Not in the record's header, whose version nobody looks at and no transcript covers.
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      hello[Int.random(in: 5..<hello.count, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
    }
    pair.server.inbox = hello
    pair.server.step()
    pair.client.outbox = []
    pair.run(&generator, chunkMax: 4096)
    // Even a change that the server doesn't mind makes the transcripts differ.
    #expect(!(pair.client.isComplete && pair.server.isComplete), "seed \(seed)")
    #expect(pair.server.plaintext.isEmpty, "seed \(seed)")
  }
}
