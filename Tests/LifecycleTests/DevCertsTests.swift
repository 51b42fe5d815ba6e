// Goal: `dev-certs` writes files that a sidecar can use as they are, keeps keys to their owner, and overwrites nothing
// unasked; what a sidecar then says of them never includes the key. Method: the command in process, in a directory of
// the test's own, its files loaded as `run` loads them.

import Glibc
import Testing

@testable import ProxyCore
@testable import sidecar_proxy

@Suite("dev-certs")
struct DevCertsTests {
  private let root: FakeRoot

  init() throws { root = try FakeRoot([:]) }

  private func run(_ arguments: String...) throws {
    var command = try SidecarProxy.parseAsRoot(["dev-certs", "--directory", root.path + "/certs"] + arguments)
    try command.run()
  }

  /// Why the command fails; nil: it doesn't.
  private func refusal(_ arguments: String...) throws -> CommandFailure? {
    var command = try SidecarProxy.parseAsRoot(["dev-certs", "--directory", root.path + "/certs"] + arguments)
    do { try command.run() } catch let failure as CommandFailure { return failure }
    return nil
  }

  private func identity(_ directory: String) -> Configuration.Identity {
    let path = root.path + "/certs" + directory
    return .init(certificate: path + "/tls.crt", privateKey: path + "/tls.key", trustBundle: path + "/ca.crt")
  }

  private func mode(_ path: String) -> mode_t {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
  }

  @Test("One ID: the files are in the directory itself, and load without a warning")
  func one() throws {
    try run("--lifetime", "30m", "spiffe://cluster.local/ns/a/sa/b")
    let (context, warnings) = try Proxy.loadIdentity(identity(""))
    #expect(context.id.uri == "spiffe://cluster.local/ns/a/sa/b")
    #expect(warnings.isEmpty)
    #expect(mode(identity("").privateKey) == 0o600)
    #expect((1_790...1_800).contains(context.validUntil - Clocks.wallSeconds))
  }

  @Test("Several IDs: a directory each, one authority for all")
  func several() throws {
    try run("--trust-domain", "mesh.test", "spiffe://mesh.test/ns/a/sa/b", "spiffe://mesh.test/ns/a/sa/c")
    let first = try Proxy.loadIdentity(identity("/ns/a/sa/b")).context
    let second = try Proxy.loadIdentity(identity("/ns/a/sa/c")).context
    #expect(first.id.uri == "spiffe://mesh.test/ns/a/sa/b" && second.id.uri == "spiffe://mesh.test/ns/a/sa/c")
    #expect(first.bundle == second.bundle)
    #expect(TextFile.read(root.path + "/certs/ca.crt") == TextFile.read(identity("/ns/a/sa/b").trustBundle))
  }

  @Test("Files that are there are replaced only when that is asked for")
  func force() throws {
    try run("spiffe://cluster.local/a")
    let before = TextFile.read(identity("").certificate)
    let failure = try #require(try refusal("spiffe://cluster.local/a"))
    #expect(failure.code == 1 && failure.lines[0].contains("is there already; --force replaces it"))
    #expect(TextFile.read(identity("").certificate) == before)
    try run("--force", "spiffe://cluster.local/a")
    #expect(TextFile.read(identity("").certificate) != before)
    _ = try Proxy.loadIdentity(identity(""))
  }

  @Test(
    "Wrong usage writes nothing",
    arguments: [
      ["spiffe://other.domain/a"], ["spiffe://cluster.local"], ["https://cluster.local/a"],
      ["spiffe://cluster.local/a", "spiffe://cluster.local/a"], ["--lifetime", "0s", "spiffe://cluster.local/a"],
      ["--lifetime", "10", "spiffe://cluster.local/a"], ["--lifetime", "9000h", "spiffe://cluster.local/a"],
    ])
  func usage(arguments: [String]) throws {
    var command = try SidecarProxy.parseAsRoot(["dev-certs", "--directory", root.path + "/certs"] + arguments)
    do {
      try command.run()
      Issue.record("it should have been refused")
    } catch let failure as CommandFailure {
      #expect(failure.code == 2 && failure.lines.count == 1)
    }
    #expect(access(root.path + "/certs", F_OK) != 0)
  }

  @Test("GET /certificates tells the chain and the bundle, and never the key")
  func endpoint() throws {
    try run("spiffe://cluster.local/ns/a/sa/b")
    let fixture = try IdentityProxy(identity(""))
    let body = String(decoding: RouteTable.certificates(fixture.proxy).body, as: UTF8.self)
    #expect(body.hasPrefix(#"{"spiffe_id":"spiffe://cluster.local/ns/a/sa/b","chain":[{"subject":"","issuer":"CN="#))
    #expect(body.contains(#""sha256":"\#(try #require(fixture.fingerprint))""#))
    #expect(body.contains(#""trust_bundle":[{"subject":"CN=Development CA of cluster.local""#))
    #expect(body.hasSuffix(#""last_reload":null}"# + "\n"))
    let key = try #require(TextFile.read(identity("").privateKey))
    for line in key.split(separator: "\n") { #expect(!body.contains(line)) }
    fixture.proxy.reload()
    #expect(eventually { fixture.proxy.lastIdentityReload != nil })
    let later = String(decoding: RouteTable.certificates(fixture.proxy).body, as: UTF8.self)
    #expect(later.hasSuffix(#""result":"success","failure":null}}"# + "\n"))
    fixture.stop()
  }
}
