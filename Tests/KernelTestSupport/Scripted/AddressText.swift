// Socket addresses as text and back, so that scripts and traces can be read: `1.2.3.4:80`, `[::1]:80`, `unix:/path`.

import Glibc

public enum AddressText {
  /// The text of what connect(2) was given.
  public static func decode(_ address: UnsafeRawPointer, length: UInt32) -> String {
    let bytes = UnsafeRawBufferPointer(start: address, count: Int(length))
    switch Int32(bytes.loadUnaligned(as: sa_family_t.self)) {
    case AF_INET:
      let address = bytes.loadUnaligned(as: sockaddr_in.self)
      return "\(text(AF_INET, address.sin_addr)):\(UInt16(bigEndian: address.sin_port))"
    case AF_INET6:
      let address = bytes.loadUnaligned(as: sockaddr_in6.self)
      return "[\(text(AF_INET6, address.sin6_addr))]:\(UInt16(bigEndian: address.sin6_port))"
    case AF_UNIX:
      return "unix:" + String(decoding: bytes[2...].prefix { $0 != 0 }, as: UTF8.self)
    case let family:
      return "family \(family)"
    }
  }

  /// Writes the address as the kernel would. `unix` stands for the nameless address of a Unix client.
  public static func encode(_ text: String, into storage: UnsafeMutableRawBufferPointer) {
    if text == "unix" {
      storage.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
      preconditionFailure("\(text) is no address")
    }
    if text.hasPrefix("[") {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      let host = String(text[..<colon].dropFirst().dropLast())
      precondition(inet_pton(AF_INET6, host, &address.sin6_addr) == 1, "\(host) is no IPv6 address")
      storage.storeBytes(of: address, as: sockaddr_in6.self)
    } else {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      let host = String(text[..<colon])
      precondition(inet_pton(AF_INET, host, &address.sin_addr) == 1, "\(host) is no IPv4 address")
      storage.storeBytes(of: address, as: sockaddr_in.self)
    }
  }

  private static func text<Address>(_ family: Int32, _ address: Address) -> String {
    withUnsafeBytes(of: address) { address in
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
        _ = inet_ntop(family, address.baseAddress!, text.baseAddress!, socklen_t(INET6_ADDRSTRLEN))
        return String(cString: text.baseAddress!)
      }
    }
  }
}
