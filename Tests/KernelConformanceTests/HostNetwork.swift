// The network of the kernels that run on the host: real sockets, and peers that are plain blocking sockets, with a thread
// for what they do beside the test.

import Glibc
import IOUring
import Testing

/// A listening socket of the host.
struct HostListener: Listener {
  let descriptor: Descriptor
  let address: Address
  private let family: Int32

  init(_ family: Family, backlog: Int32) throws {
    self.family = family == .tcp ? AF_INET : AF_UNIX
    let name = "conformance-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    var address = family == .tcp ? Address.loopback() : .unix([0] + Array(name.utf8))
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let listener = socket(self.family, type, 0)
    try #require(listener >= 0)
    try #require(address.call { bind(listener, $0, $1) } == 0)
    try #require(Glibc.listen(listener, backlog) == 0)
    if family == .tcp {
      var length = UInt32(address.bytes.count)
      let named = address.bytes.withUnsafeMutableBytes {
        getsockname(listener, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
      }
      try #require(named == 0)
    }
    descriptor = Descriptor(rawValue: listener)
    self.address = address
  }

  func dial(blocking: Bool) throws -> any Peer { try dial(blocking: blocking, acknowledgesAtOnce: true) }

  func dialHalfway() throws -> any Peer { try dial(blocking: true, acknowledgesAtOnce: false) }

  /// tcp(7), TCP_QUICKACK: without it Linux waits for up to 200 ms for data that can carry an acknowledgement, that of the
  /// handshake included.
  private func dial(blocking: Bool, acknowledgesAtOnce: Bool) throws -> any Peer {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue) | (blocking ? 0 : Int32(SOCK_NONBLOCK.rawValue))
    let client = socket(family, type, 0)
    try #require(client >= 0)
    if !acknowledgesAtOnce {
      var no: Int32 = 0
      try #require(setsockopt(client, Int32(IPPROTO_TCP), TCP_QUICKACK, &no, UInt32(MemoryLayout<Int32>.size)) == 0)
    }
    let connected = address.call { Glibc.connect(client, $0, $1) }
    try #require(connected == 0 || !blocking)
    return HostPeer(descriptor: client)
  }
}

/// A blocking socket.
struct HostPeer: Peer {
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

  func writeUrgent(_ byte: UInt8) {
    var byte = byte
    _ = Glibc.send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL) | Int32(MSG_OOB))
  }

  func read(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let received = recv(descriptor, buffer.baseAddress! + filled, count - filled, 0)
        guard received > 0 else { return }
        filled += received
      }
    }
  }

  func readEnd() -> Int32 {
    var byte: UInt8 = 0
    while true {
      let received = recv(descriptor, &byte, 1, 0)
      if received <= 0 { return received < 0 ? errno : 0 }
    }
  }

  func finish() { _ = Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

  func close() { _ = Glibc.close(descriptor) }

  func reset() {
    var abort = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, UInt32(MemoryLayout<linger>.size))
    close()
  }

  func port() -> UInt16 {
    var address = sockaddr_in()
    var length = UInt32(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    return UInt16(bigEndian: address.sin_port)
  }

  /// `tcpi_segs_in` of linux/tcp.h, which Glibc's tcp_info is too short for. TCP_INFO of tcp(7).
  func segmentsReceived() -> UInt32? {
    let (offset, size) = (140, 144)
    return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { info in
      var length = UInt32(size)
      guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, info.baseAddress, &length) == 0, length == size else {
        return nil
      }
      return info.load(fromByteOffset: offset, as: UInt32.self)
    }
  }

  func startWriting(_ bytes: [UInt8]) -> any BackgroundWork {
    HostThread { [self] in
      write(bytes)
      finish()
      return []
    }
  }

  func startReading(_ count: Int) -> any BackgroundWork { HostThread { [self] in read(count) } }

  func adopt() throws -> Descriptor {
    try #require(fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0)
    return Descriptor(rawValue: descriptor)
  }

  /// Loopback segments are 64 KiB: a receive buffer below that would leave the stream to the persist timer.
  func shrinkBuffers(near: Int32) {
    var sendSize: Int32 = 1
    var receiveSize: Int32 = 131_072
    setsockopt(near, SOL_SOCKET, SO_SNDBUF, &sendSize, UInt32(MemoryLayout<Int32>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveSize, UInt32(MemoryLayout<Int32>.size))
  }
}

/// A thread that runs once and leaves bytes.
final class HostThread: BackgroundWork {
  private var thread = pthread_t()
  private let work: UnsafeMutablePointer<Work>

  private struct Work {
    var body: @Sendable () -> [UInt8]
    var bytes: [UInt8] = []
  }

  init(_ body: @escaping @Sendable () -> [UInt8]) {
    work = .allocate(capacity: 1)
    work.initialize(to: Work(body: body))
    pthread_create(&thread, nil, HostThread.run, work)
  }

  private static let run: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
    let work = argument!.assumingMemoryBound(to: Work.self)
    work.pointee.bytes = work.pointee.body()
    return nil
  }

  func result() -> [UInt8] {
    pthread_join(thread, nil)
    defer {
      work.deinitialize(count: 1)
      work.deallocate()
    }
    return work.pointee.bytes
  }
}
