// Goal: a proxy has an identity that fits or doesn't start, follows its files however they are replaced, and keeps what
// it has when they go bad. Method: a real proxy, certificates of an authority made on the spot, files in a directory of
// the test's own.

import Glibc
import Metrics
import Testing

@testable import ProxyCore

@Suite("Identity at the start")
struct IdentityStartTests {
  @Test("The start loads it, and the metrics say when it expires")
  func loads() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    let identity = try #require(fixture.proxy.identity)
    #expect(identity.id.uri == IdentityFiles.id)
    let name = "sidecar_certificate_not_after_timestamp_seconds"
    #expect(fixture.sample(name + #"{certificate="leaf"}"#) == "\(identity.chain[0].notAfter)")
    #expect(fixture.sample(name + #"{certificate="trust_bundle"}"#) == "\(identity.bundle[0].notAfter)")
    #expect(fixture.sample(#"sidecar_certificate_reloads_total{result="success"}"#) == "0")
    #expect(fixture.sample("sidecar_ready") == "1")
    #expect(fixture.log.contains(" INFO identity \(IdentityFiles.id), valid until "))
    #expect(!fixture.log.contains(" WARNING "))
    fixture.stop()
  }

  /// The lines with which a start is refused.
  private func refusal(_ identity: Configuration.Identity) throws -> [String] {
    do {
      try IdentityProxy(identity).stop()
      Issue.record("the start should have been refused")
      return []
    } catch let error as StartError {
      return error.lines
    }
  }

  @Test("A key that doesn't fit stops the start with one line")
  func refusesStrangersKey() throws {
    let (files, others) = (try IdentityFiles(), try IdentityFiles())
    var identity = files.identity
    identity.privateKey = others.identity.privateKey
    let lines = try refusal(identity)
    #expect(lines.count == 1)
    #expect(lines[0].hasPrefix("identity: \(identity.privateKey): is not the key of the first certificate"))
  }

  @Test("Each file that can't be read has its line")
  func refusesMissingFiles() throws {
    let identity = Configuration.Identity(
      certificate: "/nonexistent/tls.crt", privateKey: "/nonexistent/tls.key", trustBundle: "/nonexistent/ca.crt")
    let lines = try refusal(identity)
    #expect(lines.count == 3)
    for (line, path) in zip(lines, identity.files) {
      #expect(line.hasPrefix("identity: \(path): can't be read: No such file or directory; "))
    }
  }

  @Test("What is no regular file stops the start, and nobody waits for it")
  func refusesOtherKinds() throws {
    let files = try IdentityFiles()
    var identity = files.identity
    identity.certificate = files.root.path + "/fifo"
    #expect(mkfifo(identity.certificate, 0o600) == 0)
    identity.privateKey = "/dev/zero"
    identity.trustBundle = files.root.path
    #expect(
      try refusal(identity)
        == identity.files.map {
          "identity: \($0): is a pipe, a device or a directory; give the path of a regular file in PEM"
        })
  }

  @Test("An expired certificate stops the start")
  func refusesExpired() throws {
    let files = try IdentityFiles(lifetime: 60, issuedAgo: 3_600)
    let lines = try refusal(files.identity)
    #expect(lines.count == 1 && lines[0].contains("tls.crt: expired on "))
  }

  @Test("A key that everybody can read is warned about, with the mend")
  func warnsOfPermissions() throws {
    let files = try IdentityFiles()
    #expect(chmod(files.identity.privateKey, 0o644) == 0)
    let fixture = try IdentityProxy(files.identity)
    #expect(fixture.log.contains(" WARNING identity: \(files.identity.privateKey): has mode 0644"))
    #expect(fixture.log.contains("0600"))
    fixture.stop()
  }

  @Test("A key that its group can read is as Kubernetes makes it, and no warning")
  func allowsGroup() throws {
    let files = try IdentityFiles()
    #expect(chmod(files.identity.privateKey, 0o640) == 0)
    let fixture = try IdentityProxy(files.identity)
    #expect(!fixture.log.contains(" WARNING "))
    fixture.stop()
  }

  @Test("A certificate that expires while the proxy runs makes it unready, and is said once")
  func expires() throws {
    let files = try IdentityFiles(lifetime: 2)
    let fixture = try IdentityProxy(files.identity)
    #expect(eventually { !fixture.proxy.unreadyReasons.isEmpty })
    #expect(fixture.proxy.unreadyReasons[0].hasPrefix("the identity \(IdentityFiles.id) expired on "))
    #expect(fixture.sample("sidecar_ready") == "0")
    #expect(eventually { fixture.log.contains(" ERROR identity \(IdentityFiles.id) expired on ") })
    try files.write(files.issue())
    #expect(eventually { fixture.proxy.unreadyReasons.isEmpty })
    fixture.stop()
  }
}

@Suite("Identity reload")
struct IdentityReloadTests {
  @Test("Files written in place are taken up without a restart")
  func inPlace() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    let before = fixture.fingerprint
    try files.write(files.issue())
    #expect(eventually { fixture.fingerprint != before })
    #expect(fixture.reloads == (1, 0))
    #expect(eventually { fixture.log.contains(" INFO identity reloaded: \(IdentityFiles.id), valid until ") })
    #expect(fixture.proxy.lastIdentityReload?.failure == nil && fixture.proxy.lastIdentityReload != nil)
    fixture.stop()
  }

  @Test("Files renamed into place are taken up, each from a directory of its own")
  func renamed() throws {
    let files = try IdentityFiles(("certificate/tls.crt", "key/tls.key", "bundle/ca.crt"))
    let fixture = try IdentityProxy(files.identity)
    let before = fixture.fingerprint
    try files.rename(files.issue())
    #expect(eventually { fixture.fingerprint != before })
    #expect(fixture.reloads == (1, 0))
    fixture.stop()
  }

  @Test("The kubelet's swap of ..data is taken up")
  func kubeletSwap() throws {
    let files = try IdentityFiles(("..1/tls.crt", "..1/tls.key", "..1/ca.crt"))
    let root = files.root.path
    #expect(symlink("..1", root + "/..data") == 0)
    for name in ["tls.crt", "tls.key", "ca.crt"] { #expect(symlink("..data/" + name, root + "/" + name) == 0) }
    let fixture = try IdentityProxy(
      Configuration.Identity(
        certificate: root + "/tls.crt", privateKey: root + "/tls.key", trustBundle: root + "/ca.crt"))
    for version in 2...3 {
      let before = fixture.fingerprint
      let svid = try files.issue()
      try files.root.write("..\(version)/tls.crt", files.text(svid.certificatePEM))
      try files.root.write("..\(version)/tls.key", files.text(svid.privateKeyPEM))
      try files.root.write("..\(version)/ca.crt", files.bundle)
      #expect(symlink("..\(version)", root + "/..data_tmp") == 0)
      #expect(rename(root + "/..data_tmp", root + "/..data") == 0)
      #expect(eventually { fixture.fingerprint != before })
    }
    #expect(fixture.reloads == (2, 0))
    fixture.stop()
  }

  @Test("A file behind a symlink is followed to where it is written")
  func throughSymlink() throws {
    let files = try IdentityFiles(("real/tls.crt", "real/tls.key", "real/ca.crt"))
    let root = files.root.path
    for name in ["tls.crt", "tls.key", "ca.crt"] { #expect(symlink("real/" + name, root + "/" + name) == 0) }
    let fixture = try IdentityProxy(
      Configuration.Identity(
        certificate: root + "/tls.crt", privateKey: root + "/tls.key", trustBundle: root + "/ca.crt"))
    let before = fixture.fingerprint
    try files.write(files.issue())
    #expect(eventually { fixture.fingerprint != before })
    fixture.stop()
  }

  @Test("A bad certificate is refused with one line, counted once, and the one in use stays")
  func keepsTheOld() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    let before = fixture.fingerprint
    try files.root.write("tls.crt", "nonsense")
    #expect(eventually { fixture.sample(#"sidecar_certificate_reloads_total{result="failure"}"#) == "1" })
    #expect(fixture.fingerprint == before)
    #expect(fixture.proxy.unreadyReasons.isEmpty)
    let errors = fixture.log.split(separator: "\n").filter { $0.contains(" ERROR ") }
    #expect(errors.count == 1)
    #expect(errors.first?.contains("tls.crt: holds no certificate") == true)
    #expect(errors.first?.hasSuffix("refused, the identity in use stays") == true)
    #expect(fixture.proxy.lastIdentityReload?.failure?.contains("tls.crt: holds no certificate") == true)
    try files.write(files.issue())
    #expect(eventually { fixture.reloads == (1, 1) })
    #expect(fixture.fingerprint != before)
    fixture.stop()
  }

  @Test("A FIFO in the place of a file is refused on a reload, and keeps nobody waiting")
  func refusesFIFO() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    let before = fixture.fingerprint
    #expect(mkfifo(files.root.path + "/fifo", 0o600) == 0)
    #expect(rename(files.root.path + "/fifo", files.identity.privateKey) == 0)
    #expect(eventually { fixture.proxy.lastIdentityReload?.failure?.contains("tls.key: is a pipe, a device") == true })
    #expect(fixture.fingerprint == before)
    // In place, both would go into the FIFO.
    try files.rename(files.issue())
    #expect(eventually { fixture.reloads == (1, 1) })
    #expect(fixture.fingerprint != before)
    fixture.stop()
  }

  @Test("A half-written pair is waited for and not counted as a failure")
  func halfWritten() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    let svid = try files.issue()
    try files.root.write("tls.crt", files.text(svid.certificatePEM))
    #expect(eventually { fixture.log.contains("there will be another look") })
    try files.root.write("tls.key", files.text(svid.privateKeyPEM))
    #expect(eventually { fixture.reloads.succeeded == 1 })
    #expect(fixture.reloads.failed == 0)
    #expect(!fixture.log.contains(" ERROR "))
    fixture.stop()
  }

  @Test("A certificate that is not valid yet is taken up when it is")
  func fromTheFuture() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    let before = fixture.fingerprint
    // Those of our own authority are valid from a minute before they are issued.
    try files.write(files.issue(issuedAgo: -65))
    #expect(eventually { fixture.reloads.failed == 1 })
    #expect(fixture.fingerprint == before)
    #expect(eventually { fixture.reloads == (1, 1) })
    #expect(fixture.fingerprint != before)
    fixture.stop()
  }

  @Test("A reload that is asked for reads the files at once")
  func onRequest() throws {
    let files = try IdentityFiles()
    let fixture = try IdentityProxy(files.identity)
    fixture.proxy.reload()
    #expect(eventually { fixture.reloads.succeeded == 1 })
    fixture.stop()
  }

  @Test("A configuration that names other files changes the identity; one with bad files changes nothing")
  func otherFiles() throws {
    let (files, others) = (try IdentityFiles(), try IdentityFiles())
    let next = Box(others.identity)
    let proxyBox = ProxyBox()
    var options = Proxy.Options()
    options.load = {
      var configuration = proxyBox.proxy?.configuration ?? Configuration()
      configuration.identity = next.value
      return configuration
    }
    let fixture = try IdentityProxy(files.identity, options: options)
    proxyBox.proxy = fixture.proxy
    let before = fixture.fingerprint
    fixture.proxy.reload()
    #expect(eventually { fixture.fingerprint != before })
    #expect(fixture.reloads == (1, 0))
    let taken = fixture.fingerprint

    // The new files are followed from now on.
    try others.write(others.issue())
    #expect(eventually { fixture.reloads == (2, 0) })
    #expect(fixture.fingerprint != taken)

    next.value.privateKey = files.identity.privateKey
    fixture.proxy.reload()
    #expect(eventually { fixture.sample(#"sidecar_config_reloads_total{result="failure"}"#) == "1" })
    #expect(fixture.proxy.configuration.identity == others.identity)
    proxyBox.proxy = nil
    fixture.stop()
  }
}

/// What a reload reads; the test changes it between reloads, when nobody reads.
private final class Box: @unchecked Sendable {
  var value: Configuration.Identity

  init(_ value: Configuration.Identity) { self.value = value }
}

private final class ProxyBox: @unchecked Sendable {
  var proxy: Proxy?
}
