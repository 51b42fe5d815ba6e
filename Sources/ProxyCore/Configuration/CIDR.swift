/// A block of IP addresses, as `allow[].sources` and `mesh[].destinations` list them. The policy asks it about each
/// new connection.

/// An IPv4 or IPv6 prefix (RFC 4632 section 3.1): `10.0.0.0/8`, `fd00::/8`. Trivially copyable.
///
/// An IPv4 address that a dual-stack socket reports as `::ffff:10.1.2.3` matches IPv4 blocks, and a block inside
/// `::ffff:0:0/96` is the IPv4 block that it stands for. So `0.0.0.0/0` is every IPv4 peer and `::/0` is every IPv6
/// peer, whichever socket took them; neither covers the other family.
public struct CIDR: Sendable, Hashable {
  /// The first address of the block; the bits after the prefix are zero.
  public let network: IPAddress
  /// 0…32 for IPv4, 0…128 for IPv6.
  public let prefixLength: Int

  /// A block from any address in it: the bits after the prefix are cleared. Nil when the prefix is longer than the
  /// address.
  public init?(containing address: IPAddress, prefixLength: Int) {
    guard (0...address.family.bitCount).contains(prefixLength) else { return nil }
    var (address, prefixLength) = (address, prefixLength)
    if address.family == .ipv6, prefixLength >= 96, address.unmapped.family == .ipv4 {
      address = address.unmapped
      prefixLength -= 96
    }
    let hostBits = address.family.bitCount - prefixLength
    // A shift by the full width gives zero in Swift, which is what /0 wants.
    let bits = (address.bits >> UInt128(hostBits)) << UInt128(hostBits)
    network = address.family == .ipv4 ? IPAddress(v4: UInt32(truncatingIfNeeded: bits)) : IPAddress(v6: bits)
    self.prefixLength = prefixLength
  }

  /// Reads `address/length`; nil for anything else, host bits that aren't zero included.
  public init?(_ text: some StringProtocol) {
    guard let slash = text.lastIndex(of: "/"), let address = IPAddress(text[..<slash]) else { return nil }
    let digits = text[text.index(after: slash)...]
    guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let length = Int(digits), let block = CIDR(containing: address, prefixLength: length),
      block.network == address.unmapped || block.network == address
    else { return nil }
    self = block
  }

  /// Whether the address lies in the block.
  public func contains(_ address: IPAddress) -> Bool {
    let address = address.unmapped
    guard address.family == network.family else { return false }
    return (address.bits ^ network.bits) >> UInt128(network.family.bitCount - prefixLength) == 0
  }

  /// Whether the address lies in the block; the port plays no part.
  public func contains(_ address: SocketAddress) -> Bool { contains(address.ip) }
}

extension CIDR: CustomStringConvertible {
  public var description: String { "\(network)/\(prefixLength)" }
}
