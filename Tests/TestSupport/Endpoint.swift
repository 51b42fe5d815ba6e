// Addresses of the tests' sockets, and ports that nobody uses.

import Glibc
import Synchronization

/// Where a socket listens, written as the configuration writes targets.
package enum Endpoint: Sendable, Hashable, CustomStringConvertible {
  /// A numeric IPv4 or IPv6 address.
  case tcp(address: String, port: UInt16)
  case unix(path: String)

  package static func loopback(_ port: UInt16) -> Endpoint { .tcp(address: "127.0.0.1", port: port) }
  package static func loopback6(_ port: UInt16) -> Endpoint { .tcp(address: "::1", port: port) }

  /// A free port on 127.0.0.1.
  package static func freeLoopback() throws -> Endpoint { .loopback(try Ports.free()) }

  package var port: UInt16 {
    switch self {
    case .tcp(_, let port): port
    case .unix: 0
    }
  }

  package var description: String {
    switch self {
    case .tcp(let address, let port): address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  package var family: Int32 {
    switch self {
    case .tcp(let address, _): address.contains(":") ? AF_INET6 : AF_INET
    case .unix: AF_UNIX
    }
  }

  /// Calls the closure with the address as the socket calls want it.
  package func withSockAddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result) throws -> Result {
    var storage = sockaddr_storage()
    let length = try withUnsafeMutableBytes(of: &storage) { try fill($0) }
    return try withUnsafePointer(to: &storage) {
      try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, socklen_t(length)) }
    }
  }

  private func fill(_ storage: UnsafeMutableRawBufferPointer) throws -> Int {
    switch self {
    case .tcp(let text, let port) where family == AF_INET6:
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      guard inet_pton(AF_INET6, text, &address.sin6_addr) == 1 else { throw HarnessError("not an address: \(text)") }
      storage.storeBytes(of: address, as: sockaddr_in6.self)
      return MemoryLayout<sockaddr_in6>.size
    case .tcp(let text, let port):
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      guard inet_pton(AF_INET, text, &address.sin_addr) == 1 else { throw HarnessError("not an address: \(text)") }
      storage.storeBytes(of: address, as: sockaddr_in.self)
      return MemoryLayout<sockaddr_in>.size
    case .unix(let path):
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let capacity = MemoryLayout.size(ofValue: address.sun_path)
      guard path.utf8.count < capacity else { throw HarnessError("too long for a Unix socket: \(path)") }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
      storage.storeBytes(of: address, as: sockaddr_un.self)
      return MemoryLayout<sockaddr_un>.size
    }
  }
}

/// Ports that nobody listens on.
package enum Ports {
  private static let next = Atomic<Int>(Int(getpid()) &* 61)

  /// A port that was free a moment ago and is given to nobody else in this process. It lies below the range from which
  /// the kernel takes the ports of outgoing connections, so that none of those can occupy it before it is bound.
  package static func free() throws -> UInt16 {
    let range = 10_240..<ephemeralStart()
    for _ in range {
      let number = next.add(1, ordering: .relaxed).oldValue
      let port = UInt16(range.lowerBound + number % range.count)
      if isFree(port) { return port }
    }
    throw HarnessError("no free port in \(range)")
  }

  /// net.ipv4.ip_local_port_range; see ip(7).
  private static func ephemeralStart() -> Int {
    let text = (try? Files.read("/proc/sys/net/ipv4/ip_local_port_range")) ?? ""
    let start = text.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) } ?? 32_768
    return max(start, 10_240 + 1_024)
  }

  /// Tried without SO_REUSEADDR, so that a port with connections in TIME_WAIT counts as used.
  private static func isFree(_ port: UInt16) -> Bool {
    [Endpoint.tcp(address: "0.0.0.0", port: port), .tcp(address: "::", port: port)].allSatisfy { endpoint in
      let descriptor = socket(endpoint.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      // A host without IPv6 has no IPv6 port in use.
      guard descriptor >= 0 else { return endpoint.family == AF_INET6 }
      defer { close(descriptor) }
      if endpoint.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, Int32(1)) }
      let result = try? endpoint.withSockAddr { bind(descriptor, $0, $1) }
      return result == 0
    }
  }
}

/// setsockopt(2) with a value of any plain type.
@discardableResult
func setOption<Value>(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Value) -> Int32 {
  withUnsafeBytes(of: value) { setsockopt(descriptor, level, option, $0.baseAddress, socklen_t($0.count)) }
}
