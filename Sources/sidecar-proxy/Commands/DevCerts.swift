// `dev-certs`: a throw-away authority and SVIDs in files, for trying the mesh out. The authority's key is never
// written, so that nobody can issue more: a second run makes a new authority, and a new mesh.

import ArgumentParser
import Glibc
import ProxyCore

struct DevCerts: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dev-certs",
    abstract: "Make a throw-away CA and SPIFFE certificates. Not for production.",
    discussion: """
      One ID: DIRECTORY gets tls.crt, tls.key and ca.crt. Several: DIRECTORY gets ca.crt, and each ID a directory of \
      its own that is called as its path (spiffe://cluster.local/ns/web/sa/app: DIRECTORY/ns/web/sa/app) with the three \
      files. Each file is replaced by a rename, so that a running sidecar can be given new ones.
      """)

  @Option(help: ArgumentHelp("Where the files go; it is made if it isn't there.", valueName: "path"))
  var directory: String

  @Option(help: ArgumentHelp("The trust domain of the CA.", valueName: "name"))
  var trustDomain = "cluster.local"

  @Option(
    help: ArgumentHelp("How long the certificates and their CA are valid, such as 1h or 30m.", valueName: "duration"))
  var lifetime = "24h"

  @Flag(help: "Replace files that are there.")
  var force = false

  @Argument(
    help: ArgumentHelp("Whom to certify, such as spiffe://cluster.local/ns/web/sa/app.", valueName: "spiffe-id"))
  var ids: [String]

  func run() throws {
    let seconds = try lifetimeSeconds()
    let workloads = try workloads()
    try refuseOverwriting(workloads)
    let now = Clocks.wallSeconds
    do throws(DevelopmentCertificateError) {
      let authority = try DevelopmentAuthority(trustDomain: trustDomain, now: now, lifetime: seconds)
      for workload in workloads {
        let identity = try authority.issue(workload.id, now: now, lifetime: seconds)
        try DevCerts.makeDirectories(workload.directory)
        try identity.write(
          toDirectory: workload.directory, name: "tls", trustBundlePEM: authority.certificatePEM)
        print("\(workload.directory)/tls.crt  \(workload.id)")
      }
      if workloads.count > 1 { try DevCerts.share("\(workloads[0].directory)/ca.crt", as: "\(directory)/ca.crt") }
    } catch {
      throw CommandFailure.failed("dev-certs: \(error)")
    }
  }

  /// Certificates are made for an hour of trying out or a day of developing; whoever needs years needs a real issuer.
  private static let lifetimeMax = Duration.seconds(365 * 86_400)

  private func lifetimeSeconds() throws -> Int64 {
    guard let duration = Duration(configurationText: lifetime), duration >= .seconds(1),
      duration <= DevCerts.lifetimeMax
    else {
      throw CommandFailure.usage("--lifetime \(lifetime): expected a duration from 1s to 8760h, such as 30m or 24h")
    }
    return duration.components.seconds
  }

  private struct Workload {
    var id: SPIFFEID
    var directory: String
  }

  private func workloads() throws -> [Workload] {
    var result: [Workload] = []
    for text in ids {
      let id: SPIFFEID
      do { id = try SPIFFEID(text) } catch { throw CommandFailure.usage("\(text): not a SPIFFE ID: it \(error)") }
      guard !id.path.isEmpty else {
        throw CommandFailure.usage("\(text): names a trust domain, not a workload; add a path such as /ns/web/sa/app")
      }
      guard id.trustDomain == trustDomain else {
        throw CommandFailure.usage(
          "\(text): is not of the trust domain \(trustDomain); give --trust-domain \(id.trustDomain)")
      }
      guard !result.contains(where: { $0.id == id }) else { throw CommandFailure.usage("\(text): is given twice") }
      result.append(Workload(id: id, directory: ids.count == 1 ? directory : directory + id.path))
    }
    return result
  }

  private func refuseOverwriting(_ workloads: [Workload]) throws {
    guard !force else { return }
    let files = workloads.flatMap { workload in ["tls.crt", "tls.key", "ca.crt"].map { "\(workload.directory)/\($0)" } }
    for file in files + ["\(directory)/ca.crt"] where access(file, F_OK) == 0 {
      throw CommandFailure.failed(
        "\(file): is there already; --force replaces it, and every certificate of its old CA is void")
    }
  }

  /// Gives a file a second name, in place of what had it.
  private static func share(_ path: String, as name: String) throws(DevelopmentCertificateError) {
    let temporary = "\(name).new"
    unlink(temporary)
    guard link(path, temporary) == 0, rename(temporary, name) == 0 else { throw .unwritable(name, errno) }
  }

  /// As `mkdir -p`: the parents of what `DevelopmentIdentity.write` makes.
  private static func makeDirectories(_ path: String) throws(DevelopmentCertificateError) {
    var prefix = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      prefix += part
      if mkdir(prefix, 0o755) != 0, errno != EEXIST { throw .unwritable(prefix, errno) }
      prefix += "/"
    }
  }
}
