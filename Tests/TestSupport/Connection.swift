// A blocking stream socket as tests want it: every call has a deadline, every outcome is a value or an error that says
// which call failed and how.

import CTestSupport
import Glibc
import Synchronization

/// One end of a connection. Closed with the last reference.
package final class Connection: Sendable {
  /// -1 once it is closed: the number may be another socket's by then, and calls fail with EBADF in place of taking that
  /// one's bytes.
  package var descriptor: Int32 { openDescriptor.withLock { $0 } }
  private let openDescriptor: Mutex<Int32>

  /// How a stream ended.
  package enum Ending: Sendable, Equatable {
    /// A FIN.
    case finished
    /// A reset: what came before it may not have been all.
    case reset
  }

  /// Seconds that a call may block: far longer than any healthy transfer stalls, so that a hang fails with a message.
  package static let callTimeout = 60

  package init(taking descriptor: Int32, timeoutSeconds: Int = Connection.callTimeout) {
    openDescriptor = Mutex(descriptor)
    let timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    setOption(descriptor, SOL_SOCKET, SO_RCVTIMEO, timeout)
    setOption(descriptor, SOL_SOCKET, SO_SNDTIMEO, timeout)
    setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1))
  }

  /// Connects.
  /// - Parameters:
  ///   - receiveBuffer: SO_RCVBUF, set before the handshake so that the window follows it; nil: the kernel's.
  ///   - holdsHandshakeBack: the last segment of the handshake goes with the first data, or after 200 ms, so that for the
  ///     other side the connection is half open until then. tcp(7), TCP_QUICKACK.
  package convenience init(
    to endpoint: Endpoint, receiveBuffer: Int32? = nil, holdsHandshakeBack: Bool = false
  ) throws {
    let descriptor = socket(endpoint.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SystemCallError("socket") }
    self.init(taking: descriptor)
    if let receiveBuffer { setOption(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    if holdsHandshakeBack { setOption(descriptor, Int32(IPPROTO_TCP), TCP_QUICKACK, Int32(0)) }
    let result = try endpoint.withSockAddr { connect(descriptor, $0, $1) }
    guard result == 0 else { throw SystemCallError("connect \(endpoint)") }
  }

  deinit { close() }

  // MARK: Sending

  /// Sends all of the bytes.
  package func send(_ bytes: UnsafeRawBufferPointer) throws {
    var sent = 0
    while sent < bytes.count {
      let result = Glibc.send(descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      guard result > 0 else { throw SystemCallError("send") }
      sent += result
    }
  }

  package func send(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try send($0) } }

  /// Sends to somebody who may have reset the connection by now.
  /// - Returns: false when that is so. A reset is reported once only: receiving sees a plain end after that.
  package func sendUnlessReset(_ bytes: [UInt8]) throws -> Bool {
    do {
      try send(bytes)
      return true
    } catch let error as SystemCallError where error.code == ECONNRESET || error.code == EPIPE {
      return false
    }
  }

  package func send(_ text: String) throws { try send(Array(text.utf8)) }

  /// Sends until nothing more is taken: the receiver doesn't read, and every buffer in between is full.
  /// - Parameter patience: how many milliseconds it may take until there is room again.
  /// - Returns: the bytes that were taken.
  package func sendUntilFull(patience: Int32 = 200) throws -> Int {
    let part = [UInt8](repeating: 0x5a, count: 65_536)
    var total = 0
    while true {
      let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
      let result = part.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
      if result < 0 && errno == EAGAIN {
        // Proxies on the way take a moment to pass on what fills the buffers behind them.
        var writable = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&writable, 1, patience) == 0 { return total }
        continue
      }
      guard result > 0 else { throw SystemCallError("send") }
      total += result
    }
  }

  // MARK: Receiving

  /// Receives what is there, waiting for the first byte.
  /// - Returns: the count; 0 at the end of the stream.
  package func receive(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let result = recv(descriptor, buffer.baseAddress, buffer.count, 0)
    guard result >= 0 else { throw SystemCallError("recv") }
    return result
  }

  /// What is there, at most `count` bytes; empty at the end of the stream.
  package func receive(atMost count: Int = 65_536) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, received in
      received = try receive(into: UnsafeMutableRawBufferPointer(buffer))
    }
  }

  /// Exactly `count` bytes.
  package func receive(exactly count: Int) throws -> [UInt8] {
    var result: [UInt8] = []
    while result.count < count {
      let part = try receive(atMost: count - result.count)
      guard !part.isEmpty else { throw HarnessError("the stream ended after \(result.count) of \(count) bytes") }
      result += part
    }
    return result
  }

  /// Reads to the end.
  /// - Returns: everything up to there, and how it ended.
  package func drain() throws -> (bytes: [UInt8], ending: Ending) {
    var bytes: [UInt8] = []
    do {
      while true {
        let part = try receive()
        if part.isEmpty { return (bytes, .finished) }
        bytes += part
      }
    } catch let error as SystemCallError where error.code == ECONNRESET {
      return (bytes, .reset)
    }
  }

  /// How the stream ends; what still comes is thrown away.
  package func ending() throws -> Ending { try drain().ending }

  /// Sends one message and expects it back.
  package func ping(_ text: String = "ping") throws {
    try send(text)
    let answer = try receive(exactly: text.utf8.count)
    guard answer == Array(text.utf8) else { throw HarnessError("an echo of \(text) came back as other bytes") }
  }

  /// Whether bytes, the end or a reset are there to be received.
  package var isReadable: Bool {
    var readable = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&readable, 1, 0) > 0
  }

  /// SO_SNDBUF, so that a sender that isn't read from gets stuck early.
  package func limitSendBuffer(to bytes: Int32) { setOption(descriptor, SOL_SOCKET, SO_SNDBUF, bytes) }

  // MARK: Ending

  /// Sends the FIN; receiving goes on.
  package func finish() throws {
    guard shutdown(descriptor, Int32(SHUT_WR)) == 0 else { throw SystemCallError("shutdown") }
  }

  /// Wakes a thread that blocks in a call of this connection.
  package func abandon() {
    openDescriptor.withLock { if $0 >= 0 { shutdown($0, Int32(SHUT_RDWR)) } }
  }

  /// Waits for a reset, for both FINs, or for `abandon`; reads nothing.
  package func awaitHangUp() {
    // POLLHUP and POLLERR are always reported; see poll(2).
    var poll = pollfd(fd: descriptor, events: 0, revents: 0)
    while Glibc.poll(&poll, 1, -1) < 0 && errno == EINTR {}
  }

  /// Closes with a reset: SO_LINGER with no time to linger, see socket(7).
  package func reset() {
    setOption(descriptor, SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
    close()
  }

  package func close() {
    openDescriptor.withLock { descriptor in
      if descriptor >= 0 { Glibc.close(descriptor) }
      descriptor = -1
    }
  }
}

/// A listening socket.
package final class ListeningSocket: Sendable {
  package let endpoint: Endpoint
  package let descriptor: Int32

  /// A listening socket on a free port of 127.0.0.1.
  package convenience init(backlog: Int32 = 4_096) throws {
    while true {
      do {
        try self.init(.freeLoopback(), backlog: backlog)
        return
      } catch let error as SystemCallError where error.code == EADDRINUSE {
        // Another process was quicker.
      }
    }
  }

  package init(_ endpoint: Endpoint, backlog: Int32 = 4_096) throws {
    self.endpoint = endpoint
    let descriptor = socket(endpoint.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SystemCallError("socket") }
    self.descriptor = descriptor
    setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, Int32(1))
    if endpoint.family == AF_INET6 { setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, Int32(1)) }
    let result = try endpoint.withSockAddr { bind(descriptor, $0, $1) }
    guard result == 0, listen(descriptor, backlog) == 0 else { throw SystemCallError("listen on \(endpoint)") }
    // accept(2) obeys it too.
    setOption(descriptor, SOL_SOCKET, SO_RCVTIMEO, timeval(tv_sec: Connection.callTimeout, tv_usec: 0))
  }

  deinit { close(descriptor) }

  package func accept() throws -> Connection {
    let result = accept4(descriptor, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
    guard result >= 0 else { throw SystemCallError("accept on \(endpoint)") }
    return Connection(taking: result)
  }

  /// Wakes a thread that blocks in `accept`; nothing more is accepted.
  package func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
