// A UDP socket, to show what the redirection leaves alone.

import Glibc
import TestSupport

final class DatagramSocket: Sendable {
  private let descriptor: Int32

  convenience init(boundTo endpoint: Endpoint) throws { try self.init(endpoint, "bind", Glibc.bind) }

  convenience init(connectedTo endpoint: Endpoint) throws { try self.init(endpoint, "connect", Glibc.connect) }

  private init(
    _ endpoint: Endpoint, _ name: String, _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws {
    descriptor = socket(endpoint.family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SystemCallError("socket") }
    var timeout = timeval(tv_sec: Connection.callTimeout, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    let result = try endpoint.withSockAddr { call(descriptor, $0, $1) }
    guard result == 0 else { throw SystemCallError("\(name) \(endpoint)") }
  }

  deinit { close(descriptor) }

  func send(_ text: String) throws {
    let bytes = Array(text.utf8)
    guard Glibc.send(descriptor, bytes, bytes.count, 0) == bytes.count else { throw SystemCallError("send") }
  }

  func receive() throws -> String {
    var buffer = [UInt8](repeating: 0, count: 2_048)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    guard count >= 0 else { throw SystemCallError("recv") }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
