// Sockets for the conformance suite, and the far ends that play the peers: plain blocking sockets of the host.

import Glibc
import IOUring
import Testing

/// A socket address in the kernel's own layout.
struct Address {
  var bytes: [UInt8]

  /// 127.0.0.1 with a port, 0 for any.
  static func loopback(port: UInt16 = 0) -> Address {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return Address(bytes: withUnsafeBytes(of: &address) { [UInt8]($0) })
  }

  /// An abstract Unix address, which leaves no file behind. unix(7).
  static func abstract(_ name: String) -> Address {
    var family = sa_family_t(AF_UNIX)
    return Address(bytes: withUnsafeBytes(of: &family) { [UInt8]($0) } + [0] + Array(name.utf8))
  }

  func call(_ body: (UnsafePointer<sockaddr>, UInt32) -> Int32) -> Int32 {
    bytes.withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), UInt32($0.count)) }
  }
}

/// A listening socket that the kernel under test accepts on.
struct Listener {
  var descriptor: Descriptor
  var address: Address
  private var family: Int32

  static func tcp(backlog: Int32 = 128) throws -> Listener {
    try listen(AF_INET, .loopback(), backlog)
  }

  static func unix(backlog: Int32 = 128) throws -> Listener {
    try listen(AF_UNIX, .abstract("conformance-\(getpid())-\(UInt64.random(in: 0 ... .max))"), backlog)
  }

  private static func listen(_ family: Int32, _ address: Address, _ backlog: Int32) throws -> Listener {
    let listener = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try #require(listener >= 0)
    try #require(address.call { bind(listener, $0, $1) } == 0)
    try #require(Glibc.listen(listener, backlog) == 0)
    var bound = address
    if family == AF_INET {
      var length = UInt32(bound.bytes.count)
      let named = bound.bytes.withUnsafeMutableBytes {
        getsockname(listener, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
      }
      try #require(named == 0)
    }
    return Listener(descriptor: Descriptor(rawValue: listener), address: bound, family: family)
  }

  /// A client's end of a new connection. `blocking: false` returns before it is established.
  func dial(blocking: Bool = true) throws -> Peer {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue) | (blocking ? 0 : Int32(SOCK_NONBLOCK.rawValue))
    let client = socket(family, type, 0)
    try #require(client >= 0)
    let connected = address.call { Glibc.connect(client, $0, $1) }
    try #require(connected == 0 || !blocking)
    return Peer(descriptor: client)
  }
}

/// The far end of a connection: what a client or an app would be.
struct Peer {
  var descriptor: Int32

  func write(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let sent = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return }
      done += sent
    }
  }

  /// One byte of urgent data, RFC 9293 section 3.8.5.
  func writeUrgent(_ byte: UInt8) {
    var byte = byte
    _ = Glibc.send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL) | Int32(MSG_OOB))
  }

  /// Up to `count` bytes: fewer at the end of the stream. Blocks until then.
  func read(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let received = recv(descriptor, buffer.baseAddress! + filled, count - filled, 0)
        guard received > 0 else { return }
        filled += received
      }
    }
  }

  /// The errno that ends the stream, or 0 for a FIN; bytes before it are dropped.
  func readEnd() -> Int32 {
    var byte: UInt8 = 0
    while true {
      let received = recv(descriptor, &byte, 1, 0)
      if received <= 0 { return received < 0 ? errno : 0 }
    }
  }

  /// Sends a FIN and goes on reading.
  func finish() { _ = Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

  func close() { _ = Glibc.close(descriptor) }

  /// Closes with a RST.
  func reset() {
    var abort = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, UInt32(MemoryLayout<linger>.size))
    close()
  }
}

/// The families of stream sockets that the proxy relays between.
enum Family: String, CaseIterable, Codable {
  case tcp, unix
}

extension World {
  /// A connection: the near end for the kernel under test, the far end for the test.
  /// `smallBuffers` fixes the socket buffers, so that some hundred KiB fill them. Loopback segments are 64 KiB: a
  /// receive buffer below that would leave the stream to the persist timer.
  func pair(_ family: Family = .tcp, smallBuffers: Bool = false) throws -> (near: Descriptor, far: Peer) {
    let listener = family == .tcp ? try Listener.tcp() : try Listener.unix()
    defer { close(listener.descriptor) }
    let far = try listener.dial()
    let near = try outcome(accept(listener.descriptor, multishot: false)).result
    try #require(near >= 0)
    if smallBuffers {
      var sendSize: Int32 = 1
      var receiveSize: Int32 = 131_072
      setsockopt(near, SOL_SOCKET, SO_SNDBUF, &sendSize, UInt32(MemoryLayout<Int32>.size))
      setsockopt(far.descriptor, SOL_SOCKET, SO_RCVBUF, &receiveSize, UInt32(MemoryLayout<Int32>.size))
    }
    return (Descriptor(rawValue: near), far)
  }

  /// Sends immediately until nothing more fits. Returns the bytes that went in.
  func fill(_ socket: Descriptor) throws -> Int {
    let chunk = [UInt8](repeating: 0x55, count: 65_536)
    var total = 0
    while true {
      let completion = try outcome(send(socket, chunk, mode: .immediate))
      if completion.result == -EAGAIN { return total }
      try #require(completion.result > 0)
      total += Int(completion.result)
    }
  }
}

/// Bytes that differ from position to position, so that a loss or a swap shows.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var generator = SeededGenerator(seed: seed)
  return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
