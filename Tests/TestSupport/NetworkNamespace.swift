// A network of its own for tests that need redirection rules: a network namespace, made by root, removed with the last
// reference; and a cable between two of them.

import CTestSupport
import Glibc

package final class NetworkNamespace: Sendable {
  package let name: String
  private let directory: TemporaryDirectory

  /// Makes a namespace with a loopback interface that has these addresses as well.
  package init(addresses: [String]) throws {
    directory = try TemporaryDirectory()
    name = "sidecar-test-\(try Ports.free())-\(getpid())"
    try ip("netns", "add", name)
    try ip("-n", name, "link", "set", "lo", "up")
    // Without duplicate address detection, during which an IPv6 address can't be used; ip-address(8).
    for address in addresses { try ip("-n", name, "address", "add", address, "dev", "lo", "nodad") }
  }

  deinit { try? ip("netns", "delete", name) }

  /// What to put in front of a command to run it inside.
  package var launcher: [String] { get throws { [try Programs.path("ip"), "netns", "exec", name] } }

  /// Loads nftables rules inside.
  package func load(rules: String) throws {
    let path = directory.file("rules.nft")
    try Files.write(rules, to: path)
    try ChildProcess.run(launcher + [try Programs.path("nft"), "--file", path], in: directory)
  }

  /// Calls the closure on a thread inside. Sockets that it makes belong to the namespace wherever they go.
  package func inside<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let path = "/var/run/netns/\(name)"
    return try BackgroundJob {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw SystemCallError("open \(path)") }
      defer { close(descriptor) }
      // Of this thread only, which ends with the closure; CLONE_NEWNET in sched.h.
      guard setns(descriptor, 0x4000_0000) == 0 else { throw SystemCallError("setns \(path)") }
      return try body()
    }.wait()
  }

  /// Lays a cable to another namespace, veth(4). Each end is called eth0.
  /// - Parameters:
  ///   - addresses: of this end, with their prefix lengths.
  ///   - others: of the other end.
  package func connect(_ addresses: [String], to other: NetworkNamespace, _ others: [String]) throws {
    try ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.name)
    for (namespace, addresses) in [(name, addresses), (other.name, others)] {
      for address in addresses { try ip("-n", namespace, "address", "add", address, "dev", "eth0", "nodad") }
      try ip("-n", namespace, "link", "set", "eth0", "up")
    }
  }

  private func ip(_ arguments: String...) throws {
    try ChildProcess.run([try Programs.path("ip")] + arguments, in: directory)
  }
}
