// Goal: addresses and blocks are read, written, converted and compared exactly. Method: tables, and a real socket for
// the conversion to and from the kernel's form.

import Glibc
import Testing

@testable import ProxyCore

@Suite("Addresses")
struct AddressTests {
  @Test(
    "Text reads and prints back in canonical form",
    arguments: [
      ("1.2.3.4:80", "1.2.3.4:80"), ("0.0.0.0:0", "0.0.0.0:0"), ("255.255.255.255:65535", "255.255.255.255:65535"),
      ("[::]:1", "[::]:1"), ("[::1]:80", "[::1]:80"), ("[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443"),
      ("[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80"), ("[fe80::1:2:3:4]:080", "[fe80::1:2:3:4]:80"),
    ])
  func text(text: String, canonical: String) throws {
    let address = try #require(SocketAddress(text))
    #expect(address.description == canonical)
    #expect(SocketAddress(canonical) == address)
    #expect(SocketAddress(storage: address.storage) == address)
  }

  @Test(
    "Anything else is refused",
    arguments: [
      "", ":", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4: 80", " 1.2.3.4:80",
      "1.2.3:80", "01.2.3.4:80", "1.2.3.4.5:80", "::1:80", "[::1]", "[::1", "[]:80", "[1.2.3.4]:80", "[::1%lo]:80",
      "localhost:80", "1.2.3.4:80\0", "1.2.3.4\0:80", "[::1]]:80", "[[::1]]:80", "1.2.3.4:８０",
    ])
  func refused(_ text: String) {
    #expect(SocketAddress(text) == nil)
  }

  @Test("The kernel takes an address and gives it back", arguments: ["127.0.0.1:0", "[::1]:0"])
  func kernel(_ text: String) throws {
    let address = try #require(SocketAddress(text))
    let family = address.ip.family == .ipv4 ? AF_INET : AF_INET6
    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    #expect(address.withSockAddr { bind(descriptor, $0, $1) } == 0)
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    #expect(result == 0)
    #expect(length == address.length)
    let bound = try #require(SocketAddress(storage: storage))
    #expect(bound.ip == address.ip)
    #expect(bound.port != 0)
  }

  @Test("Another family is no address")
  func otherFamily() {
    var storage = sockaddr_storage()
    #expect(SocketAddress(storage: storage) == nil)
    storage.ss_family = sa_family_t(AF_UNIX)
    #expect(SocketAddress(storage: storage) == nil)
  }

  @Test("The bytes are in network order")
  func networkBytes() throws {
    #expect(try #require(IPAddress("1.2.3.4")).withNetworkBytes { Array($0) } == [1, 2, 3, 4])
    let v6 = try #require(IPAddress("2001:db8::f"))
    #expect(v6.withNetworkBytes { Array($0) } == [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15])
  }

  @Test("Loopback is 127.0.0.0/8 and ::1, in either clothes")
  func loopback() {
    for text in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
      #expect(IPAddress(text)?.isLoopback == true, "\(text)")
    }
    for text in ["128.0.0.1", "0.0.0.0", "::", "::2", "::ffff:10.0.0.1", "::127.0.0.1"] {
      #expect(IPAddress(text)?.isLoopback == false, "\(text)")
    }
  }

  @Test(
    "Binds overlap when one socket would take what the other wants",
    arguments: [
      ("127.0.0.1:80", "127.0.0.1:80", true), ("127.0.0.1:80", "127.0.0.1:81", false),
      ("0.0.0.0:80", "127.0.0.1:80", true), ("127.0.0.1:80", "127.0.0.2:80", false),
      ("[::]:80", "127.0.0.1:80", true), ("[::]:80", "0.0.0.0:80", true), ("[::]:80", "[::1]:80", true),
      ("0.0.0.0:80", "[::1]:80", false), ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
    ])
  func overlap(first: String, second: String, expected: Bool) throws {
    let (first, second) = (try #require(SocketAddress(first)), try #require(SocketAddress(second)))
    #expect(first.overlaps(second) == expected)
    #expect(second.overlaps(first) == expected)
  }
}

@Suite("Blocks of addresses")
struct CIDRTests {
  @Test(
    "Membership",
    arguments: [
      ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "255.255.255.255", true),
      ("192.168.1.1/32", "192.168.1.1", true), ("192.168.1.1/32", "192.168.1.2", false),
      ("10.128.0.0/9", "10.127.255.255", false), ("10.128.0.0/9", "10.128.0.0", true),
      ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::", false), ("::/0", "2001:db8::1", true),
      ("2001:db8::1/128", "2001:db8::1", true), ("2001:db8::1/128", "2001:db8::2", false),
      ("10.0.0.0/8", "::ffff:10.1.2.3", true), ("10.0.0.0/8", "::10.1.2.3", false),
      ("::ffff:10.0.0.0/104", "10.9.9.9", true), ("::ffff:10.0.0.0/104", "::ffff:10.9.9.9", true),
      ("0.0.0.0/0", "::1", false), ("::/0", "1.2.3.4", false), ("::/0", "::ffff:1.2.3.4", false),
    ])
  func membership(block: String, address: String, expected: Bool) throws {
    let block = try #require(CIDR(block))
    let address = try #require(IPAddress(address))
    #expect(block.contains(address) == expected)
    #expect(block.contains(SocketAddress(ip: address, port: 80)) == expected)
  }

  @Test(
    "What isn't a block",
    arguments: [
      "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/8", "::/129", "::1/127", "fd00::1/8",
      "10.0.0.0/8/8", "10.0.0/8", "10.0.0.0/0008", "10.0.0.0/ 8", "a/8", "[::]/0", "::ffff:10.0.0.1/104",
    ])
  func refused(_ text: String) {
    #expect(CIDR(text) == nil)
  }

  @Test("Text is canonical, and a block in IPv6 clothes is the IPv4 block")
  func text() {
    #expect(CIDR("FD00:0::/8")?.description == "fd00::/8")
    #expect(CIDR("::ffff:10.0.0.0/104") == CIDR("10.0.0.0/8"))
    #expect(CIDR("::ffff:0:0/96") == CIDR("0.0.0.0/0"))
    #expect(CIDR(containing: IPAddress(v4: 0x0a01_0203), prefixLength: 8) == CIDR("10.0.0.0/8"))
    #expect(CIDR(containing: IPAddress(v4: 0), prefixLength: 33) == nil)
    #expect(CIDR(containing: IPAddress(v6: 0), prefixLength: -1) == nil)
  }
}
