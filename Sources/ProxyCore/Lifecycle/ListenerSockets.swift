// The listening sockets: one per worker and listener, so that the kernel spreads connections over the workers and
// nothing is shared between them (SO_REUSEPORT, socket(7)). Made by the control thread, owned by the workers from
// `WorkerCommand.addListener` on.

import Glibc
import IOUring

/// Why the proxy can't start, or why a listener can't be added: one line with what, where and how to mend it.
public struct StartError: Error, Sendable, Equatable, CustomStringConvertible {
  /// More than one where several things are wrong at once.
  public var lines: [String]

  public var description: String { lines.joined(separator: "\n") }

  public init(_ line: String) { lines = [line] }

  public init(lines: [String]) { self.lines = lines }
}

/// One listener's sockets, bound and listening.
struct ListenerSockets {
  /// One per worker.
  let descriptors: [Descriptor]
  /// Where they listen: the configured address, with the kernel's choice in place of port 0.
  let address: SocketAddress

  /// Pending connections per socket; the kernel clamps it to net.core.somaxconn (listen(2)), 4,096 by default.
  static let backlog: Int32 = 4_096

  /// - Parameters:
  ///   - held: addresses of this process's own listeners, with which the new ones may share a port.
  static func open(
    _ listener: Configuration.Listener, workers: Int, held: [SocketAddress] = []
  ) throws(StartError) -> ListenerSockets {
    if listener.bind.port != 0, !held.contains(where: { $0.overlaps(listener.bind) }) {
      // SO_REUSEPORT lets two processes of one user share a port and steal connections from each other unnoticed.
      // A socket without it is refused wherever anybody listens, so that a port in use is an error after all.
      close(try bound(listener, to: listener.bind, sharesPort: false).rawValue)
    }
    var address = listener.bind
    var descriptors: [Descriptor] = []
    do throws(StartError) {
      for _ in 0..<workers {
        let socket = try bound(listener, to: address, sharesPort: true)
        descriptors.append(socket)
        StreamOptions.apply(to: socket)
        if address.ip.isLoopback { StreamOptions.sendUnpaced(on: socket) }
        guard listen(socket.rawValue, backlog) == 0 else { throw refusal(listener, "listen on", errno) }
        address = localAddress(socket) ?? address
      }
    } catch {
      for descriptor in descriptors { close(descriptor.rawValue) }
      throw error
    }
    return ListenerSockets(descriptors: descriptors, address: address)
  }

  /// A socket that is bound and not listening yet.
  private static func bound(
    _ listener: Configuration.Listener, to address: SocketAddress, sharesPort: Bool
  ) throws(StartError) -> Descriptor {
    do throws(Refusal) {
      return try bound(to: address, sharesPort: sharesPort)
    } catch {
      throw refusal(listener, error.verb, error.errno)
    }
  }

  /// What was refused of a socket.
  struct Refusal: Error {
    var verb: String
    var errno: Int32
  }

  static func bound(to address: SocketAddress, sharesPort: Bool) throws(Refusal) -> Descriptor {
    let family = address.ip.family == .ipv4 ? AF_INET : AF_INET6
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(family, kind, 0)
    guard descriptor >= 0 else { throw Refusal(verb: "open a socket for", errno: errno) }
    // A restart must not wait for the old process's connections to leave TIME_WAIT.
    set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
    if sharesPort { set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
    // [::] takes IPv4 as well, whatever net.ipv6.bindv6only says; any other IPv6 address is that address only.
    if family == AF_INET6 { set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, address.ip.isUnspecified ? 0 : 1) }
    let result = address.withSockAddr { bind(descriptor, $0, $1) }
    guard result == 0 else {
      let error = errno
      close(descriptor)
      throw Refusal(verb: "bind", errno: error)
    }
    return Descriptor(rawValue: descriptor)
  }

  private static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    _ = setsockopt(socket, level, option, &value, UInt32(MemoryLayout<Int32>.size))
  }

  private static func localAddress(_ socket: Descriptor) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket.rawValue, $0, &length) }
    }
    return result == 0 ? SocketAddress(storage: storage) : nil
  }

  private static func refusal(_ listener: Configuration.Listener, _ verb: String, _ error: Int32) -> StartError {
    StartError(
      "listener \(listener.name): can't \(verb) \(listener.bind): \(String(cString: strerror(error))); "
        + mend(error, listener.bind))
  }

  /// How to mend a failed bind(2). Shared with the HTTP endpoints, which bind through SwiftNIO.
  static func mend(_ error: Int32, _ address: SocketAddress) -> String {
    switch error {
    case EADDRINUSE:
      "something else listens on port \(address.port) (ss -ltnp 'sport = :\(address.port)' names it): stop it or choose "
        + "another port"
    case EACCES, EPERM:
      address.port < 1_024
        ? "ports below 1024 need CAP_NET_BIND_SERVICE: choose a port from 1024 on, or lower "
          + "net.ipv4.ip_unprivileged_port_start"
        : "a security module forbids it: allow this process to bind the port"
    case EADDRNOTAVAIL:
      "no interface has the address \(address.ip): use an address of this host, 0.0.0.0 or [::]"
    case EAFNOSUPPORT:
      "this host has no \(address.ip.family == .ipv4 ? "IPv4" : "IPv6"): use an address of the other family"
    case EMFILE, ENFILE:
      "raise the limit on open files (ulimit -n)"
    default:
      "choose another address"
    }
  }
}

/// The mend for a bind(2) that failed elsewhere in the process, such as in the HTTP endpoints.
public func bindMend(errno error: Int32, address: SocketAddress) -> String {
  ListenerSockets.mend(error, address)
}
