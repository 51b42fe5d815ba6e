// The HTTP endpoints of a running proxy: two addresses on one event loop, the admin thread. A slow scrape blocks
// other scrapes and nothing else. Started by `run` and `demo` once the proxy serves.

import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import ProxyCore
import Synchronization

/// Both endpoints, listening.
final class Endpoints: Sendable {
  /// Where they listen, with the kernel's choice in place of port 0.
  let metricsAddress: ProxyCore.SocketAddress
  let adminAddress: ProxyCore.SocketAddress

  private let group: MultiThreadedEventLoopGroup

  /// - Throws: an address can't be bound; one line with the mend.
  init(of proxy: Proxy) throws(StartError) {
    let configuration = proxy.configuration
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    do throws(StartError) {
      // The one that tells of readiness comes last: by then everything else is there.
      adminAddress = try Endpoints.listen(
        configuration.admin.bind, key: "admin.bind", routes: .admin(of: proxy), group)
      metricsAddress = try Endpoints.listen(
        configuration.metrics.bind, key: "metrics.bind", routes: .metrics(of: proxy), group)
    } catch {
      try? group.syncShutdownGracefully()
      throw error
    }
  }

  /// Closes everything, exchanges that are under way included.
  func shutDown() { try? group.syncShutdownGracefully() }

  private static func listen(
    _ address: ProxyCore.SocketAddress, key: String, routes: RouteTable, _ group: MultiThreadedEventLoopGroup
  ) throws(StartError) -> ProxyCore.SocketAddress {
    let clients = Clients()
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(AcceptPause()) }
      }
      // One request fits, and 64 clients take 256 KiB.
      .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4_096))
      .childChannelInitializer { channel in
        clients.enter(channel)
        channel.closeFuture.whenComplete { _ in clients.leave(channel) }
        return channel.eventLoop.makeCompletedFuture {
          try configure(channel.pipeline.syncOperations, routes: routes)
        }
      }
    do {
      let wanted = try address.withSockAddr { pointer, _ in try NIOCore.SocketAddress(pointer) }
      let channel = try bootstrap.bind(to: wanted).wait()
      let port = channel.localAddress?.port.flatMap { UInt16(exactly: $0) } ?? address.port
      return ProxyCore.SocketAddress(ip: address.ip, port: port)
    } catch let error as IOError {
      throw StartError(
        "\(key): can't bind \(address): \(String(cString: strerror(error.errnoCode))); "
          + bindMend(errno: error.errnoCode, address: address))
    } catch {
      throw StartError("\(key): can't bind \(address): \(error)")
    }
  }

  /// The handlers of a client's channel, from the socket inwards.
  static func configure(_ pipeline: ChannelPipeline.SynchronousOperations, routes: RouteTable) throws {
    try pipeline.addHandler(ExchangeDeadline())
    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: false)
    try pipeline.addHandler(HTTPConnection(routes: routes))
  }
}

extension NIOCore.SocketAddress {
  /// From what the system calls take.
  fileprivate init(_ address: UnsafePointer<sockaddr>) throws {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      self.init(address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee })
    default:
      self.init(address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { $0.pointee })
    }
  }
}

/// Bounds the clients of one address. One too many takes the place of the one that came first: refused instead, a crowd
/// that says nothing would keep the kubelet's probes out, and the pod would be restarted for it. A scrape takes
/// milliseconds, and a scraper whose idle connection goes opens another.
private final class Clients: Sendable {
  /// In the order in which they came. Only the event loop gets here, but its closures have to be Sendable.
  private let channels = Mutex<[any Channel]>([])

  func enter(_ channel: any Channel) {
    let first = channels.withLock { channels in
      channels.append(channel)
      return channels.count > EndpointLimits.connectionsMax ? channels.removeFirst() : nil
    }
    first?.close(promise: nil)
  }

  func leave(_ channel: any Channel) {
    channels.withLock { $0.removeAll { $0 === channel } }
  }
}
