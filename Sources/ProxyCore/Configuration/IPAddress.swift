/// An IPv4 or IPv6 address as a plain value, without a port. `SocketAddress` and `CIDR` are made of it; the
/// configuration parses it from text, the workers from what the kernel returns.

import Glibc

/// An IPv4 or IPv6 address: trivially copyable, so that it can live in a connection's slot.
///
/// Scope identifiers (`fe80::1%eth0`) are not supported: a pod's traffic is never link-local, and an address that
/// means something else on each interface has no place in a policy.
public struct IPAddress: Sendable, Hashable {
  public enum Family: UInt8, Sendable, Hashable {
    case ipv4
    case ipv6

    /// The number of bits in an address of this family: 32 or 128.
    public var bitCount: Int { self == .ipv4 ? 32 : 128 }
  }

  public let family: Family

  /// The address as a number; an IPv4 address fills the low 32 bits and leaves the others zero.
  public let bits: UInt128

  /// An IPv4 address from its number in host byte order: `IPAddress(v4: 0x7f00_0001)` is 127.0.0.1.
  public init(v4 bits: UInt32) {
    family = .ipv4
    self.bits = UInt128(bits)
  }

  /// An IPv6 address from its number: `IPAddress(v6: 1)` is ::1.
  public init(v6 bits: UInt128) {
    family = .ipv6
    self.bits = bits
  }

  /// Reads `1.2.3.4` or `::1`, without brackets, as inet_pton(3) does: four decimal numbers without leading zeros, or
  /// the forms of RFC 4291 section 2.2. Anything else is nil.
  public init?(_ text: some StringProtocol) {
    let text = String(text)
    guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
    var v4 = in_addr()
    if inet_pton(AF_INET, text, &v4) == 1 {
      self.init(v4: UInt32(bigEndian: v4.s_addr))
      return
    }
    var v6 = in6_addr()
    guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
    self.init(v6: withUnsafeBytes(of: &v6) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) })
  }

  /// 0.0.0.0 or ::, "any address" in a bind.
  public var isUnspecified: Bool { bits == 0 }

  /// 127.0.0.0/8, ::1, or an IPv4 loopback address in IPv6 clothes.
  public var isLoopback: Bool {
    let address = unmapped
    return address.family == .ipv4 ? address.bits >> 24 == 127 : address.bits == 1
  }

  /// The IPv4 address inside `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2); any other address is returned unchanged. A
  /// dual-stack listener sees its IPv4 peers in this form, and no policy may depend on which socket took them.
  public var unmapped: IPAddress {
    family == .ipv6 && bits >> 32 == 0xffff ? IPAddress(v4: UInt32(truncatingIfNeeded: bits)) : self
  }

  /// Calls `body` with the address in network byte order, 4 or 16 bytes.
  public func withNetworkBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try withUnsafeBytes(of: bits.bigEndian) { bytes in
      try body(UnsafeRawBufferPointer(rebasing: bytes.suffix(family.bitCount / 8)))
    }
  }
}

extension IPAddress: CustomStringConvertible {
  /// The canonical text (RFC 5952): `10.0.0.1`, `::1`.
  public var description: String {
    withNetworkBytes { bytes in
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
        let family = self.family == .ipv4 ? AF_INET : AF_INET6
        // inet_ntop fails only for an unknown family or a short buffer, and neither can be.
        guard let start = inet_ntop(family, bytes.baseAddress!, text.baseAddress!, socklen_t(INET6_ADDRSTRLEN)) else {
          preconditionFailure("inet_ntop refused an address")
        }
        return String(cString: start)
      }
    }
  }
}
