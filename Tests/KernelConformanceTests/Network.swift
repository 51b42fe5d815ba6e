// Sockets for the conformance suite: listeners, connections, and the far ends that play the peers. A test is written once
// against these protocols; `HostNetwork.swift` has them as sockets of the host, `SimulatedNetwork.swift` in memory.

import Glibc
import IOUring
import KernelTestSupport
import Testing

/// The families of stream sockets that the proxy relays between.
enum Family: String, CaseIterable, Codable {
  case tcp, unix
}

/// A listening socket that the kernel under test accepts on.
protocol Listener {
  var descriptor: Descriptor { get }
  var address: Address { get }

  /// A client's end of a new connection. `blocking: false` returns before it is established.
  func dial(blocking: Bool) throws -> any Peer

  /// A client's end of a TCP connection whose handshake lacks the client's last segment; what it writes first carries it.
  func dialHalfway() throws -> any Peer
}

extension Listener {
  func dial() throws -> any Peer { try dial(blocking: true) }
}

/// The far end of a connection: what a client or an app would be.
protocol Peer {
  /// Writes all, unless the connection ends.
  func write(_ bytes: [UInt8])
  /// One byte of urgent data, RFC 9293 section 3.8.5.
  func writeUrgent(_ byte: UInt8)
  /// Up to `count` bytes: fewer at the end of the stream. Waits for them.
  func read(_ count: Int) -> [UInt8]
  /// The errno that ends the stream, or 0 for a FIN; bytes before it are dropped.
  func readEnd() -> Int32
  /// Sends a FIN and goes on reading.
  func finish()
  func close()
  /// Closes with a RST.
  func reset()
  /// The port that the kernel under test sees.
  func port() -> UInt16
  /// Writes `bytes` and finishes the stream while the test goes on.
  func startWriting(_ bytes: [UInt8]) -> any BackgroundWork
  /// Reads up to `count` bytes while the test goes on.
  func startReading(_ count: Int) -> any BackgroundWork
  /// How many TCP segments have come; nil where there are none to count.
  func segmentsReceived() -> UInt32?
  /// Gives this end to the kernel under test as well.
  func adopt() throws -> Descriptor
}

/// What a peer does beside the test.
protocol BackgroundWork {
  /// Waits for the end of the work. Once.
  /// - Returns: the bytes that were read.
  @discardableResult func result() -> [UInt8]
}

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

  /// A Unix address. One that begins with a zero byte is abstract and leaves no file behind. unix(7).
  static func unix(_ path: [UInt8]) -> Address {
    var family = sa_family_t(AF_UNIX)
    return Address(bytes: withUnsafeBytes(of: &family) { [UInt8]($0) } + path)
  }

  func call(_ body: (UnsafePointer<sockaddr>, UInt32) -> Int32) -> Int32 {
    bytes.withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), UInt32($0.count)) }
  }
}

extension World {
  func listen(_ family: Family = .tcp, backlog: Int32 = 128) throws -> any Listener {
    if let network { return network.listen(family, backlog: Int(backlog)) }
    return try HostListener(family, backlog: backlog)
  }

  /// A connection: the near end for the kernel under test, the far end for the test.
  /// `smallBuffers` fixes the socket buffers, so that some hundred KiB fill them.
  func pair(_ family: Family = .tcp, smallBuffers: Bool = false) throws -> (near: Descriptor, far: any Peer) {
    let listener = try listen(family)
    defer { close(listener.descriptor) }
    let far = try listener.dial()
    let near = try outcome(accept(listener.descriptor, multishot: false)).result
    try #require(near >= 0)
    // The sockets of the simulation are small as they are.
    if smallBuffers, let far = far as? HostPeer { far.shrinkBuffers(near: near) }
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
