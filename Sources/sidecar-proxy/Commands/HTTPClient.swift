// A plain HTTP/1.1 client for the proxy's own endpoints: one request, one connection, blocking. For the commands that
// images without a shell or curl need.

import Glibc
import IOUring
import ProxyCore

enum HTTPClient {
  struct Answer {
    var status: Int
    var body: String
  }

  /// Why there was no answer, for people.
  struct Failure: Error { var reason: String }

  /// An answer that is larger is no answer of ours.
  private static let answerBytesMax = 64 << 20

  /// - Parameter timeoutSeconds: for connecting, for each write and for each read.
  static func request(
    _ method: String, _ address: SocketAddress, _ path: String, timeoutSeconds: Int = 5
  ) throws(Failure) -> Answer {
    let family = address.ip.family == .ipv4 ? AF_INET : AF_INET6
    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw failure("socket") }
    defer { close(descriptor) }
    // On Linux the send timeout bounds connect(2) too. socket(7).
    var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    for option in [SO_SNDTIMEO, SO_RCVTIMEO] {
      setsockopt(descriptor, SOL_SOCKET, option, &timeout, UInt32(MemoryLayout<timeval>.size))
    }
    guard connect(descriptor, to: address, timeoutSeconds: timeoutSeconds) else {
      throw failure("connect to \(address)")
    }
    let request = "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    try send(Array(request.utf8), descriptor)
    return try parse(try receive(descriptor))
  }

  /// connect(2); an interrupted one goes on by itself and tells its outcome when the socket is writable.
  private static func connect(_ descriptor: Int32, to address: SocketAddress, timeoutSeconds: Int) -> Bool {
    if address.withSockAddr({ Glibc.connect(descriptor, $0, $1) }) == 0 { return true }
    guard errno == EINTR else { return false }
    var writable = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while poll(&writable, 1, Int32(timeoutSeconds * 1_000)) < 0 {
      guard errno == EINTR else { return false }
    }
    var outcome: Int32 = ETIMEDOUT
    var size = UInt32(MemoryLayout<Int32>.size)
    if writable.revents != 0 { getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &outcome, &size) }
    errno = outcome
    return outcome == 0
  }

  private static func send(_ bytes: [UInt8], _ descriptor: Int32) throws(Failure) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      // A socket with a timeout is interrupted by any signal, SA_RESTART or not. signal(7).
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw failure("send") }
      sent += count
    }
  }

  private static func receive(_ descriptor: Int32) throws(Failure) -> [UInt8] {
    var answer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while answer.count < answerBytesMax {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure("receive") }
      if count == 0 { break }
      answer += chunk[..<count]
    }
    return answer
  }

  private static func parse(_ bytes: [UInt8]) throws(Failure) -> Answer {
    let text = String(decoding: bytes, as: UTF8.self)
    // A line break of HTTP is one Character in Swift.
    let words = text.prefix { $0 != "\r\n" }.split(separator: " ", maxSplits: 2)
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]),
      let headEnd = text.firstRange(of: "\r\n\r\n")
    else { throw Failure(reason: "what answered there doesn't speak HTTP") }
    return Answer(status: status, body: String(text[headEnd.upperBound...]))
  }

  private static func failure(_ operation: String) -> Failure {
    let error = errno
    let reason = error == EAGAIN || error == EINPROGRESS ? "timed out" : String(cString: strerror(error))
    return Failure(reason: "\(operation): \(reason)")
  }
}

extension SocketAddress {
  /// Where to connect to what is bound here: a wildcard is reached over loopback.
  var reachable: SocketAddress {
    guard ip.isUnspecified else { return self }
    return SocketAddress(ip: ip.family == .ipv4 ? IPAddress(v4: 0x7f00_0001) : IPAddress(v6: 1), port: port)
  }
}
