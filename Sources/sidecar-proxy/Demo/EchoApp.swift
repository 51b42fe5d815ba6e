// The app of the demo: sends back what it gets, on a loopback port that the kernel chooses. A thread per connection
// is plenty for the few that the demo makes.

import Glibc
import ProxyCore

/// A listening echo server.
struct EchoApp: Sendable {
  let address: SocketAddress
  private let listener: Int32

  init() throws(StartError) {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let listener = socket(AF_INET, kind, 0)
    let any = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    guard listener >= 0, any.withSockAddr({ bind(listener, $0, $1) }) == 0, listen(listener, 128) == 0,
      let address = DemoSocket.localAddress(listener)
    else { throw StartError("demo: can't listen on 127.0.0.1: \(String(cString: strerror(errno)))") }
    self.address = address
    self.listener = listener
    PosixThread.start(name: "demo-app") { EchoApp.accept(on: listener) }.detach()
  }

  /// Stops accepting; connections end with their clients.
  func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

  private static func accept(on listener: Int32) {
    defer { close(listener) }
    while true {
      // Waits here and not in accept(2), which reserves a descriptor while it blocks: that would show as one too many
      // in process_open_fds.
      var poll = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
      _ = Glibc.poll(&poll, 1, -1)
      let connection = Glibc.accept(listener, nil, nil)
      if connection < 0, errno == EAGAIN || errno == EINTR || errno == ECONNABORTED { continue }
      guard connection >= 0 else { return }
      DemoSocket.disableDelay(connection)
      PosixThread.start(name: "demo-app-conn") { echo(connection) }.detach()
    }
  }

  private static func echo(_ connection: Int32) {
    defer { close(connection) }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(connection, &buffer, buffer.count, 0)
      guard count > 0, DemoSocket.sendAll(connection, buffer[..<count]) else { return }
    }
  }
}

/// The few socket calls that both ends of the demo make.
enum DemoSocket {
  static func localAddress(_ descriptor: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    return result == 0 ? SocketAddress(storage: storage) : nil
  }

  static func disableDelay(_ descriptor: Int32) {
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, UInt32(MemoryLayout<Int32>.size))
  }

  /// - Returns: false when the other end is gone.
  static func sendAll(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}
