// The address of an upstream in the form that connect(2) takes: IPv4, IPv6 or Unix. A connection keeps its own copy,
// because the kernel may read it until the connect completes.

import Glibc

/// A socket address of at most 112 bytes (sockaddr_un, the longest). Trivially copyable.
public struct TargetAddress: Sendable {
  var bytes: InlineArray<14, UInt64>
  /// Bytes that connect(2) is told of; 0 stands for no address.
  var length: UInt32

  public static let none = TargetAddress(bytes: InlineArray(repeating: 0), length: 0)

  init(bytes: InlineArray<14, UInt64>, length: UInt32) {
    self.bytes = bytes
    self.length = length
  }

  public init(_ address: SocketAddress) {
    self = .none
    length = UInt32(address.length)
    let storage = address.storage
    withUnsafeMutableBytes(of: &bytes) { bytes in
      withUnsafeBytes(of: storage) { bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<Int(length)])) }
    }
  }

  /// A Unix stream socket's path.
  /// - Returns: nil when the path doesn't fit `sun_path` with its final zero (unix(7): 107 bytes).
  public init?(unixPath: String) {
    let path = Array(unixPath.utf8)
    guard !path.isEmpty, path.count <= Target.unixPathBytesMax else { return nil }
    self = .none
    length = UInt32(MemoryLayout<sockaddr_un>.size)
    withUnsafeMutableBytes(of: &bytes) { bytes in
      bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
      bytes[2..<2 + path.count].copyBytes(from: path)
    }
  }

  /// AF_INET, AF_INET6 or AF_UNIX.
  var family: Int32 { Int32(truncatingIfNeeded: bytes[0] & 0xffff) }

  /// The IP address and port; nil for a Unix socket and for none.
  public var socketAddress: SocketAddress? {
    guard length > 0 else { return nil }
    var storage = sockaddr_storage()
    withUnsafeMutableBytes(of: &storage) { storage in
      withUnsafeBytes(of: bytes) { storage.copyMemory(from: $0) }
    }
    return SocketAddress(storage: storage)
  }

  /// `1.2.3.4:80`, `[::1]:80`, `unix:/path`, or `-` for none.
  public var description: String {
    if length == 0 { return "-" }
    if let socketAddress { return socketAddress.description }
    return withUnsafeBytes(of: bytes) { "unix:" + String(decoding: $0[2...].prefix { $0 != 0 }, as: UTF8.self) }
  }
}
