// An identity in files that tests can replace in every way that operators and kubelets do, and a proxy that follows it.

import Glibc
import Testing

@testable import ProxyCore

/// An authority and a directory with the files of one identity.
final class IdentityFiles {
  let root: FakeRoot
  private let authority: DevelopmentAuthority
  /// Where each file lies below `root`.
  private let places: (certificate: String, key: String, bundle: String)

  static let id = "spiffe://test.local/ns/a/sa/b"

  init(
    _ places: (certificate: String, key: String, bundle: String) = ("tls.crt", "tls.key", "ca.crt"),
    lifetime: Int64 = 3_600, issuedAgo: Int64 = 0
  ) throws {
    root = try FakeRoot([:])
    self.places = places
    authority = try DevelopmentAuthority(trustDomain: "test.local", now: Clocks.wallSeconds)
    try root.write(places.bundle, text(authority.certificatePEM))
    try write(issue(lifetime: lifetime, issuedAgo: issuedAgo))
  }

  var identity: Configuration.Identity {
    Configuration.Identity(
      certificate: root.path + "/" + places.certificate, privateKey: root.path + "/" + places.key,
      trustBundle: root.path + "/" + places.bundle)
  }

  var bundle: String { text(authority.certificatePEM) }

  func issue(lifetime: Int64 = 3_600, issuedAgo: Int64 = 0) throws -> DevelopmentIdentity {
    try authority.issue(SPIFFEID(Self.id), now: Clocks.wallSeconds - issuedAgo, lifetime: lifetime)
  }

  /// Writes both files in place.
  func write(_ svid: DevelopmentIdentity) throws {
    try root.write(places.certificate, text(svid.certificatePEM))
    try root.write(places.key, text(svid.privateKeyPEM))
  }

  /// Renames both files into place.
  func rename(_ svid: DevelopmentIdentity) throws {
    for (place, bytes) in [(places.certificate, svid.certificatePEM), (places.key, svid.privateKeyPEM)] {
      try root.write(place + ".next", text(bytes))
      #expect(Glibc.rename(root.path + "/" + place + ".next", root.path + "/" + place) == 0)
    }
  }

  func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// A proxy with an identity, its control thread, and what it logs.
final class IdentityProxy {
  let proxy: Proxy
  private let logs: FakeRoot
  private let control: PosixThread

  init(_ identity: Configuration.Identity, options: Proxy.Options = Proxy.Options()) throws {
    var configuration = Configuration()
    configuration.workers = .count(1)
    configuration.identity = identity
    configuration.limits.connections = 100
    configuration.accessLog.format = .off
    let loopback = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    configuration.listeners = [
      .init(name: "in", direction: .inbound, bind: loopback, target: .address(loopback), tls: .strict)
    ]
    logs = try FakeRoot([:])
    let descriptor = open(logs.path + "/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    try #require(descriptor >= 0)
    let proxy = try Proxy(configuration, options: options, log: Log(level: .debug, descriptor: descriptor))
    self.proxy = proxy
    control = PosixThread.start(name: "test-control") { _ = proxy.run() }
  }

  var fingerprint: String? { proxy.identity?.chain.first?.sha256 }

  var log: String { TextFile.read(logs.path + "/log") ?? "" }

  var reloads: (succeeded: UInt64, failed: UInt64) {
    proxy.state.withLock { ($0.identity.reloads.succeeded, $0.identity.reloads.failed) }
  }

  func sample(_ name: String) -> String? { proxy.sample(name) }

  func stop() {
    proxy.interrupt()
    control.join()
  }
}

extension Proxy {
  /// A sample of the exposition, by its name and labels as printed.
  func sample(_ name: String) -> String? {
    String(decoding: metrics(format: .text), as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix(name + " ") }.map { String($0.dropFirst(name.count + 1)) }
  }
}
