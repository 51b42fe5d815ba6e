/// An address and a port: what a listener binds, what a target names and what the kernel says about a peer. The
/// configuration parses it from text; the workers convert it to and from `sockaddr_storage`.

import Glibc

/// An IP address and a TCP port. Trivially copyable.
///
/// Port 0 can be represented, because the kernel uses it ("any free port"), but the configuration refuses it.
public struct SocketAddress: Sendable, Hashable {
  public let ip: IPAddress
  /// The port in host byte order.
  public let port: UInt16

  public init(ip: IPAddress, port: UInt16) {
    self.ip = ip
    self.port = port
  }

  /// Reads `1.2.3.4:80` or `[::1]:80`; nil for anything else, a missing port or address included.
  public init?(_ text: some StringProtocol) {
    guard let (host, port) = Self.split(text), let ip = IPAddress(host.text),
      host.isBracketed == (ip.family == .ipv6)
    else { return nil }
    self.init(ip: ip, port: port)
  }

  /// Splits `host:port` at the last colon and takes the brackets off the host. The port is 0…65535 in decimal digits.
  static func split<Text: StringProtocol>(
    _ text: Text
  ) -> (host: (text: Text.SubSequence, isBracketed: Bool), port: UInt16)? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else {
      return nil
    }
    let host = text[..<colon]
    guard host.first == "[", host.last == "]", host.count >= 2 else { return ((host, false), port) }
    return ((host.dropFirst().dropLast(), true), port)
  }
}

extension SocketAddress {
  /// See `IPAddress.unmapped`.
  var unmapped: SocketAddress { SocketAddress(ip: ip.unmapped, port: port) }
}

extension SocketAddress: CustomStringConvertible {
  /// `1.2.3.4:80` or `[::1]:80`.
  public var description: String {
    ip.family == .ipv4 ? "\(ip):\(port)" : "[\(ip)]:\(port)"
  }
}

extension SocketAddress {
  /// The size of the `sockaddr_in` or `sockaddr_in6` in `storage`, as bind(2) and connect(2) want it.
  public var length: socklen_t {
    socklen_t(ip.family == .ipv4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
  }

  /// The address as the kernel wants it; the bytes after `length` are zero.
  public var storage: sockaddr_storage {
    var storage = sockaddr_storage()
    withUnsafeMutableBytes(of: &storage) { raw in
      switch ip.family {
      case .ipv4:
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(truncatingIfNeeded: ip.bits).bigEndian
        raw.storeBytes(of: address, as: sockaddr_in.self)
      case .ipv6:
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.storeBytes(of: ip.bits.bigEndian, as: UInt128.self) }
        raw.storeBytes(of: address, as: sockaddr_in6.self)
      }
    }
    return storage
  }

  /// Reads what accept(2), getpeername(2), getsockname(2) or SO_ORIGINAL_DST wrote; nil when the family is neither
  /// AF_INET nor AF_INET6. A scope identifier is dropped.
  public init?(storage: sockaddr_storage) {
    let address = withUnsafeBytes(of: storage) { raw -> SocketAddress? in
      switch Int32(storage.ss_family) {
      case AF_INET:
        let address = raw.loadUnaligned(as: sockaddr_in.self)
        let ip = IPAddress(v4: UInt32(bigEndian: address.sin_addr.s_addr))
        return SocketAddress(ip: ip, port: UInt16(bigEndian: address.sin_port))
      case AF_INET6:
        let address = raw.loadUnaligned(as: sockaddr_in6.self)
        let bits = withUnsafeBytes(of: address.sin6_addr) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) }
        return SocketAddress(ip: IPAddress(v6: bits), port: UInt16(bigEndian: address.sin6_port))
      default:
        return nil
      }
    }
    guard let address else { return nil }
    self = address
  }

  /// Calls `body` with the pointer and the length that bind(2) and connect(2) take; the pointer lives for the call.
  public func withSockAddr<Result>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
  ) rethrows -> Result {
    try withUnsafePointer(to: storage) { storage in
      try storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, length) }
    }
  }

  /// Whether two sockets bound to these addresses would want the same connections: the same port, and the same
  /// address or a wildcard that covers the other. `[::]` covers IPv4 as well, because listeners are dual-stack.
  public func overlaps(_ other: SocketAddress) -> Bool {
    guard port == other.port else { return false }
    let (mine, theirs) = (ip.unmapped, other.ip.unmapped)
    return mine == theirs || mine.covers(theirs) || theirs.covers(mine)
  }
}

extension IPAddress {
  /// Whether a socket bound to this address also takes connections to `other` because this one is a wildcard.
  fileprivate func covers(_ other: IPAddress) -> Bool {
    isUnspecified && (family == .ipv6 || other.family == .ipv4)
  }
}
