// Goal: certificates, keys and bundles that don't fit are refused at start and on reload, each with words that tell an
// operator what to mend; good ones are read from real files.
// Method: one good set, spoilt in one way each; files in a temporary directory.

import COpenSSL
import Glibc
import Testing

@testable import ProxyCore

@Suite struct MaterialTests {
  private func reason(
    certificate: [UInt8], key: [UInt8], bundle: [UInt8], now: Int64 = testNow
  ) -> TLSMaterialError.Reason? {
    let material = TLSMaterial(certificate: certificate, key: key, bundle: bundle)
    do throws(TLSMaterialError) {
      _ = try TLSContext(material, alpn: Array("x".utf8), now: now, previous: nil)
      return nil
    } catch {
      #expect(error.description.contains(": "))
      return error.reason
    }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let authority = try Mesh.authority()
    let other = try Mesh.authority()
    let bundle = authority.certificatePEM
    let good = try authority.issue(SPIFFEID(Mesh.serverID), now: testNow)
    let second = try authority.issue(SPIFFEID(Mesh.serverID), now: testNow)
    let (certificate, key) = (good.certificatePEM, good.privateKeyPEM)
    #expect(reason(certificate: certificate, key: key, bundle: bundle) == nil)
    #expect(reason(certificate: [], key: key, bundle: bundle) == .noCertificate)
    #expect(reason(certificate: Array("hello".utf8), key: key, bundle: bundle) == .noCertificate)
    #expect(reason(certificate: key, key: key, bundle: bundle) == .noCertificate)
    #expect(reason(certificate: Array(certificate.dropLast(40)), key: key, bundle: bundle) == .malformedCertificate)
    var damaged = certificate
    damaged[120] ^= 1
    #expect(reason(certificate: damaged, key: key, bundle: bundle) != nil)
    #expect(reason(certificate: certificate, key: [], bundle: bundle) == .noKey)
    #expect(reason(certificate: certificate, key: certificate, bundle: bundle) == .noKey)
    #expect(reason(certificate: certificate, key: Array(key.dropLast(40)), bundle: bundle) == .malformedKey)
    #expect(reason(certificate: certificate, key: try encrypted(key), bundle: bundle) == .encryptedKey)
    #expect(
      reason(certificate: certificate, key: second.privateKeyPEM, bundle: bundle)
        == .keyDoesNotFit(certificate: "certificate"))
    #expect(reason(certificate: certificate, key: key, bundle: []) == .noCertificate)
    #expect(reason(certificate: certificate, key: key, bundle: bundle + certificate) == .anchorNotCA(2))
    #expect(
      reason(certificate: certificate, key: key, bundle: other.certificatePEM)
        == .chainUntrusted(bundle: "trust bundle", .certificateUntrusted))
    #expect(
      reason(certificate: bundle + certificate, key: key, bundle: bundle)
        == .keyDoesNotFit(certificate: "certificate"))
    let needless = (0..<40).flatMap { _ in bundle }
    #expect(reason(certificate: certificate + needless, key: key, bundle: bundle) == .chainTooLarge)
    let later = testNow + 3601
    #expect(reason(certificate: certificate, key: key, bundle: bundle, now: later) == .expired(testNow + 3600))
    #expect(
      reason(certificate: certificate, key: key, bundle: bundle, now: testNow - 61)
        == .notYetValid(testNow - 60))
  }

  /// The same key under a passphrase.
  private func encrypted(_ key: [UInt8]) throws -> [UInt8] {
    let parsed = try PEMBytes(copying: key).privateKey().get()
    defer { EVP_PKEY_free(parsed) }
    let bio = BIO_new(BIO_s_mem())
    defer { BIO_free(bio) }
    #expect(PEM_write_bio_PKCS8PrivateKey(bio, parsed, EVP_aes_128_cbc(), "secret", 6, nil, nil) == 1)
    var bytes = [UInt8](repeating: 0, count: Int(BIO_ctrl_pending(bio)))
    BIO_read(bio, &bytes, Int32(bytes.count))
    return bytes
  }

  @Test func leavesThatAreNoSVIDsAreRefused() throws {
    let authority = try Mesh.authority()
    for (expected, spoil) in [
      (TLSFailure.certificateWithoutURI, { $0.uris = [] }),
      (.certificateWithSeveralURIs, { $0.uris.append("spiffe://cluster.local/b") }),
      (.certificateURINotSPIFFE, { $0.uris = ["http://cluster.local/b"] }),
      (.certificateWithoutPath, { $0.uris = ["spiffe://cluster.local"] }),
      (.certificateIsCA, { $0.isCA = true }),
      (.certificateUsage, { $0.keyUsage = "keyAgreement" }),
    ] as [(TLSFailure, (inout CertificateTemplate) -> Void)] {
      var template = CertificateTemplate(commonName: "leaf", now: testNow, lifetime: 3600)
      template.uris = [Mesh.serverID]
      spoil(&template)
      let identity = try authority.issue(template)
      #expect(
        reason(
          certificate: identity.certificatePEM, key: identity.privateKeyPEM, bundle: authority.certificatePEM)
          == .leafNotSVID(expected))
    }
    var serverOnly = CertificateTemplate(commonName: "leaf", now: testNow, lifetime: 3600)
    serverOnly.uris = [Mesh.serverID]
    serverOnly.extendedKeyUsage = "serverAuth"
    let identity = try authority.issue(serverOnly)
    #expect(
      reason(certificate: identity.certificatePEM, key: identity.privateKeyPEM, bundle: authority.certificatePEM)
        == .chainUntrusted(bundle: "trust bundle", .certificateUsage))
  }

  @Test func intermediatesAreSentAndVerified() throws {
    let root = try Mesh.authority()
    var template = CertificateTemplate(commonName: "Intermediate", now: testNow, lifetime: 3000)
    template.isCA = true
    template.extendedKeyUsage = nil
    let intermediate = try root.issueAuthority(template)
    let leaf = try intermediate.issue(SPIFFEID(Mesh.serverID), now: testNow)
    let bundle = root.certificatePEM
    #expect(
      reason(certificate: leaf.certificatePEM, key: leaf.privateKeyPEM, bundle: bundle)
        == .chainUntrusted(bundle: "trust bundle", .certificateUntrusted))
    let chain = leaf.certificatePEM + intermediate.certificatePEM
    let server = try TLSContext(
      TLSMaterial(certificate: chain, key: leaf.privateKeyPEM, bundle: bundle), alpn: Array("x".utf8), now: testNow,
      previous: nil)
    let pair = Pair(try Mesh.context(root, Mesh.clientID, bundle: bundle), server)
    pair.run()
    #expect(pair.client.isComplete && pair.client.peerURI == Mesh.serverID)
    #expect(pair.client.session.peer?.notAfter == testNow + 3000, "the intermediate expires first")
    #expect(server.chain.count == 2 && server.chain[0].id?.uri == Mesh.serverID && server.chain[1].id == nil)

    // An intermediate in the bundle is an anchor of its own.
    let short = try TLSContext(
      TLSMaterial(certificate: leaf.certificatePEM, key: leaf.privateKeyPEM, bundle: intermediate.certificatePEM),
      alpn: Array("x".utf8), now: testNow, previous: nil)
    #expect(short.bundle.count == 1)
  }

  @Test func filesAreWrittenAndRead() throws {
    var pattern = Array("/tmp/sidecar-proxy-tests-XXXXXX".utf8CString)
    let directory = try #require(mkdtemp(&pattern).map { String(cString: $0) })
    let names = ["ca.crt", "tls.crt", "tls.key"]
    defer {
      for name in names { unlink("\(directory)/\(name)") }
      rmdir(directory)
    }
    let authority = try Mesh.authority()
    let identity = try authority.issue(SPIFFEID(Mesh.serverID), now: testNow)
    try identity.write(toDirectory: directory, name: "tls", trustBundlePEM: authority.certificatePEM)
    try identity.write(toDirectory: directory, name: "tls", trustBundlePEM: authority.certificatePEM)

    let configuration = Configuration.Identity(
      certificate: "\(directory)/tls.crt", privateKey: "\(directory)/tls.key", trustBundle: "\(directory)/ca.crt")
    var warnings: [String] = []
    let context = try TLSContext.load(configuration, now: testNow, replacing: nil, warnings: &warnings)
    #expect(context.id.uri == Mesh.serverID)
    #expect(context.chain[0].notAfter == testNow + 3600 && context.chain[0].key == "EC 256")
    #expect(context.bundle[0].subject == "CN=Development CA of cluster.local")
    #expect(warnings.isEmpty, "the key is 0600")

    chmod(configuration.privateKey, 0o644)
    _ = try TLSContext.load(configuration, now: testNow, replacing: context, warnings: &warnings)
    #expect(warnings.count == 1 && warnings[0].contains("0644"))

    let missing = Configuration.Identity(
      certificate: "\(directory)/no.crt", privateKey: "\(directory)/tls.key", trustBundle: "\(directory)/ca.crt")
    #expect(throws: TLSMaterialError(.unreadable(ENOENT), file: "\(directory)/no.crt")) {
      try TLSContext.load(missing, now: testNow, replacing: nil, warnings: &warnings)
    }
  }

  @Test func liveSessionsKeepTheirContext() throws {
    let authority = try Mesh.authority()
    var server: TLSContext? = try Mesh.context(authority, Mesh.serverID, bundle: authority.certificatePEM)
    weak let watched = server
    let client = try Mesh.context(authority, Mesh.clientID, bundle: authority.certificatePEM)
    do {
      let pair = Pair(client, try #require(server))
      pair.run()
      server = nil
      #expect(watched != nil)
      pair.client.send(Array("still here".utf8))
      pair.run()
      #expect(pair.server.plaintext == Array("still here".utf8))
    }
    #expect(watched == nil, "the last session has gone, and so has the key")
  }

  @Test func alpnSuitsForeignPeers() throws {
    let authority = try Mesh.authority()
    let mesh = try Mesh(authority)
    let identity = try authority.issue(SPIFFEID(Mesh.clientID), now: testNow)
    for (offered, picked) in [
      ("", nil), ("\u{2}h2\u{8}http/1.1", nil), ("\u{2}h2\u{f}sidecar-proxy/1", "sidecar-proxy/1"),
    ] as [(String, String?)] {
      let list = Array(offered.utf8)
      let client = ForeignPeer { context in
        ForeignPeer.use(identity, in: context)
        ForeignPeer.offer(list, in: context)
      }
      let server = Endpoint(mesh.server, .server)
      client.handshake(with: server)
      #expect(server.isComplete && client.isComplete && server.peerURI == Mesh.clientID)
      #expect(client.alpn == picked && server.isMeshProtocol == (picked != nil))
      client.write(Array("hello".utf8))
      server.inbox += client.takeOutput()
      server.step()
      #expect(server.plaintext == Array("hello".utf8))
    }

    // A server that knows nothing of ALPN, and one with another name in the mesh.
    let plainServer = ForeignPeer(.server) { ForeignPeer.use(identity, in: $0) }
    let client = Endpoint(mesh.client, .client)
    client.step()
    plainServer.handshake(with: client)
    #expect(client.isComplete && !client.isMeshProtocol)
    let renamed = try Mesh.context(authority, Mesh.serverID, bundle: mesh.bundle, alpn: "other/1")
    let pair = Pair(mesh.client, renamed)
    pair.run()
    #expect(pair.client.isComplete && pair.server.isComplete && !pair.client.isMeshProtocol)
  }
}
