// Goal: a proxy has an identity that fits or doesn't start, follows its files, and keeps what it has when the files go
// bad. Method: a real proxy, certificates of an authority made on the spot, files in a directory of the test's own.

import Glibc
import Metrics
import Testing

@testable import ProxyCore

/// An authority and a directory with the files of one identity.
private final class Files {
  let root: FakeRoot
  private let now = Int64(time(nil))
  private let authority: DevelopmentAuthority

  init() throws {
    root = try FakeRoot([:])
    authority = try DevelopmentAuthority(trustDomain: "test.local", now: now)
    try root.write("ca.crt", text(authority.certificatePEM))
    try issue()
  }

  var identity: Configuration.Identity {
    Configuration.Identity(
      certificate: root.path + "/tls.crt", privateKey: root.path + "/tls.key", trustBundle: root.path + "/ca.crt")
  }

  /// Writes a new leaf and its key.
  func issue() throws {
    let svid = try authority.issue(SPIFFEID("spiffe://test.local/ns/a/sa/b"), now: now)
    try root.write("tls.crt", text(svid.certificatePEM))
    try root.write("tls.key", text(svid.privateKeyPEM))
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

@Suite("Identity")
struct IdentityTests {
  private func proxy(_ identity: Configuration.Identity) throws -> (proxy: Proxy, control: PosixThread) {
    var configuration = Configuration()
    configuration.workers = .count(1)
    configuration.identity = identity
    configuration.limits.connections = 100
    configuration.accessLog.format = .off
    let loopback = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    configuration.listeners = [
      .init(name: "in", direction: .inbound, bind: loopback, target: .address(loopback), tls: .strict)
    ]
    let descriptor = open("/dev/null", O_WRONLY | O_CLOEXEC)
    let proxy = try Proxy(configuration, log: Log(level: .error, descriptor: descriptor))
    return (proxy, PosixThread.start(name: "test-control") { _ = try? proxy.run() })
  }

  private func sample(_ proxy: Proxy, _ name: String) -> String? {
    String(decoding: proxy.metrics(format: .text), as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix(name + " ") }.map { String($0.dropFirst(name.count + 1)) }
  }

  @Test("The start loads it, and the metrics say when it expires")
  func loads() throws {
    let files = try Files()
    let (proxy, control) = try proxy(files.identity)
    #expect(proxy.identity?.id.uri == "spiffe://test.local/ns/a/sa/b")
    let expiry = try #require(proxy.identity?.chain.first?.notAfter)
    let name = #"sidecar_certificate_not_after_timestamp_seconds{kind="leaf"}"#
    #expect(sample(proxy, name) == "\(expiry)")
    #expect(sample(proxy, #"sidecar_certificate_reloads_total{result="success"}"#) == "0")
    proxy.interrupt()
    control.join()
  }

  @Test("A new certificate is taken up without a restart")
  func rotates() throws {
    let files = try Files()
    let (proxy, control) = try proxy(files.identity)
    let before = proxy.identity?.chain.first?.sha256
    try files.issue()
    #expect(eventually { proxy.identity?.chain.first?.sha256 != before })
    #expect(sample(proxy, #"sidecar_certificate_reloads_total{result="success"}"#) == "1")
    proxy.interrupt()
    control.join()
  }

  @Test("A bad certificate is counted, and the one in use stays")
  func keepsTheOld() throws {
    let files = try Files()
    let (proxy, control) = try proxy(files.identity)
    let before = proxy.identity?.chain.first?.sha256
    try files.root.write("tls.crt", "nonsense")
    #expect(eventually { sample(proxy, #"sidecar_certificate_reloads_total{result="failure"}"#) == "1" })
    #expect(proxy.identity?.chain.first?.sha256 == before)
    proxy.interrupt()
    control.join()
  }

  @Test("A key that doesn't fit stops the start with one line")
  func refuses() throws {
    let files = try Files()
    let other = try Files()
    var identity = files.identity
    identity.privateKey = other.identity.privateKey
    do {
      _ = try proxy(identity)
      Issue.record("the key belongs to another certificate")
    } catch let error as StartError {
      #expect(error.description.hasPrefix("identity: \(identity.privateKey): "))
    }
  }
}
