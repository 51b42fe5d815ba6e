// Goal: an upstream's address reaches connect(2) as the kernel wants it. Method: what was packed is decoded again.

import Glibc
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct TargetAddressTests {
  @Test("IP addresses", arguments: ["127.0.0.1:80", "255.255.255.255:65535", "[::1]:443", "[fd00::1:2]:1"])
  func ip(text: String) throws {
    let address = try #require(SocketAddress(text))
    let target = TargetAddress(address)
    #expect(target.description == text)
    #expect(target.socketAddress == address)
    #expect(target.family == (text.hasPrefix("[") ? AF_INET6 : AF_INET))
    #expect(target.length == UInt32(address.length))
    let decoded = withUnsafeBytes(of: target.bytes) { AddressText.decode($0.baseAddress!, length: target.length) }
    #expect(decoded == text)
  }

  @Test("Unix paths up to the longest that fits")
  func unix() throws {
    for length in [2, 50, 106, 107] {
      let path = "/" + String(repeating: "p", count: length - 1)
      let target = try #require(TargetAddress(unixPath: path))
      #expect(target.description == "unix:" + path)
      #expect(target.family == AF_UNIX)
      #expect(target.socketAddress == nil)
    }
    #expect(TargetAddress(unixPath: "/" + String(repeating: "p", count: 107)) == nil)
    #expect(TargetAddress(unixPath: "") == nil)
  }

  @Test("No address")
  func none() {
    #expect(TargetAddress.none.description == "-")
    #expect(TargetAddress.none.socketAddress == nil)
  }
}
