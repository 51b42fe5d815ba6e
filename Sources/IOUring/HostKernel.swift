// The system calls that every kernel on a real host makes alike: those of `Kernel` that happen now. Called by the
// worker through `Ring` and through the epoll engine.

public import CIOUring
public import Glibc

/// A `Kernel` whose sockets are the host's.
public protocol HostKernel: Kernel, ~Copyable {}

extension HostKernel where Self: ~Copyable {
  public func wallClockSeconds() -> Int64 { Int64(time(nil)) }

  public mutating func acceptNow(_ listener: Descriptor) -> Int32 {
    let descriptor = sidecar_accept(listener.rawValue)
    return descriptor < 0 ? -errno : descriptor
  }

  public mutating func stopQueueing(_ listener: Descriptor) {
    StreamOptions.setLeastHops(on: listener, StreamOptions.hopsMax)
  }

  public mutating func hearAgain(_ socket: Descriptor) {
    StreamOptions.setLeastHops(on: socket, 0)
  }

  @inlinable
  public mutating func openSocket(family: Int32) -> Int32 {
    let descriptor = Glibc.socket(
      family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    return descriptor < 0 ? -errno : descriptor
  }

  public mutating func configureStream(_ socket: Descriptor) {
    StreamOptions.sendAtOnce(on: socket)
  }

  public mutating func keepAlive(_ socket: Descriptor) {
    StreamOptions.keepAlive(socket)
  }

  public mutating func sendUnpaced(_ socket: Descriptor) {
    StreamOptions.sendUnpaced(on: socket)
  }

  public mutating func sendHeldBack(_ socket: Descriptor) {
    // Setting it once more pushes what is pending: __tcp_sock_set_nodelay in net/ipv4/tcp.c.
    StreamOptions.sendAtOnce(on: socket)
  }

  public mutating func peerAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    var length = UInt32(storage.count)
    return getpeername(socket.rawValue, storage.sockaddrPointer, &length) == 0 ? 0 : -errno
  }

  public mutating func localAddress(_ socket: Descriptor, into storage: UnsafeMutableRawBufferPointer) -> Int32 {
    var length = UInt32(storage.count)
    return getsockname(socket.rawValue, storage.sockaddrPointer, &length) == 0 ? 0 : -errno
  }

  public mutating func originalDestination(
    _ socket: Descriptor, isIPv6: Bool, into storage: UnsafeMutableRawBufferPointer
  ) -> Int32 {
    var length = UInt32(storage.count)
    let level = isIPv6 ? Int32(IPPROTO_IPV6) : Int32(IPPROTO_IP)
    return getsockopt(socket.rawValue, level, SIDECAR_SO_ORIGINAL_DST, storage.baseAddress, &length) == 0 ? 0 : -errno
  }

  public mutating func openPipe(capacity: Int) -> Result<Pipe, KernelError> {
    let ends = sidecar_pipe()
    guard ends >= 0 else { return .failure(KernelError(errno: Int32(truncatingIfNeeded: -ends))) }
    let readEnd = Descriptor(rawValue: Int32(truncatingIfNeeded: ends))
    let writeEnd = Descriptor(rawValue: Int32(truncatingIfNeeded: ends >> 32))
    // Past fs.pipe-user-pages-soft an unprivileged user's pipes shrink to a page or two, and can't be enlarged.
    let enlarged = sidecar_set_pipe_size(writeEnd.rawValue, Int32(truncatingIfNeeded: capacity))
    let granted = enlarged > 0 ? enlarged : sidecar_pipe_size(writeEnd.rawValue)
    return .success(Pipe(readEnd: readEnd, writeEnd: writeEnd, capacity: Int(granted)))
  }

  @inlinable
  public mutating func splice(from: Descriptor, to: Descriptor, count: Int) -> Int {
    let moved = sidecar_splice(from.rawValue, to.rawValue, count)
    // splice(2) stops at urgent data (RFC 9293 section 3.8.5) for good, and where the peer has finished it says "end of
    // stream" there, although bytes follow.
    return moved == 0 && sidecar_has_bytes(from.rawValue) ? -Int(EAGAIN) : moved
  }

  public mutating func deliveredBytes(_ socket: Descriptor) -> UInt64? {
    UInt64(exactly: sidecar_delivered_bytes(socket.rawValue))
  }

  public mutating func isReadable(_ socket: Descriptor) -> Bool {
    sidecar_poll_now(socket.rawValue, Int16(POLLIN)) > 0
  }

  @inlinable
  public mutating func shutdown(_ socket: Descriptor, _ direction: ShutdownDirection) -> Int32 {
    Glibc.shutdown(socket.rawValue, direction.rawValue) == 0 ? 0 : -errno
  }

  @inlinable
  public mutating func close(_ descriptor: Descriptor) {
    // The descriptor is gone whatever close(2) answers, EINTR included.
    _ = Glibc.close(descriptor.rawValue)
  }

  public mutating func resetOnClose(_ socket: Descriptor) {
    var linger = linger(l_onoff: 1, l_linger: 0)
    _ = setsockopt(socket.rawValue, SOL_SOCKET, SO_LINGER, &linger, UInt32(MemoryLayout<linger>.size))
  }

  public mutating func discardInput(_ socket: Descriptor) {
    // Whoever sends faster than this gets the reset after all.
    var roundsLeft = 8
    while roundsLeft > 0, recv(socket.rawValue, nil, 1 << 20, Int32(MSG_TRUNC | MSG_DONTWAIT)) > 0 { roundsLeft -= 1 }
  }

  public mutating func notify(_ event: Descriptor) { EventDescriptor.notify(event) }

  public mutating func acknowledge(_ event: Descriptor) { EventDescriptor.acknowledge(event) }
}

/// The options of every TCP socket of the proxy. Linux copies those of a listener to the sockets it accepts, so
/// that only listeners and upstream sockets pay for the calls. tcp(7), socket(7).
public enum StreamOptions {
  /// Seconds of silence before the first probe, between probes, and how many go unanswered: a dead peer is found
  /// after 60 + 3 × 10 seconds.
  static let keepaliveIdleSeconds: Int32 = 60
  static let keepaliveIntervalSeconds: Int32 = 10
  static let keepaliveProbes: Int32 = 3

  /// Failures are ignored: a Unix socket knows none of these options, and a socket that was reset since is found out
  /// by its next operation.
  public static func apply(to socket: Descriptor) {
    sendAtOnce(on: socket)
    keepAlive(socket)
  }

  static func sendAtOnce(on socket: Descriptor) {
    set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
  }

  static func keepAlive(_ socket: Descriptor) {
    set(socket, SOL_SOCKET, SO_KEEPALIVE, 1)
    set(socket, Int32(IPPROTO_TCP), TCP_KEEPIDLE, keepaliveIdleSeconds)
    set(socket, Int32(IPPROTO_TCP), TCP_KEEPINTVL, keepaliveIntervalSeconds)
    set(socket, Int32(IPPROTO_TCP), TCP_KEEPCNT, keepaliveProbes)
  }

  /// The most that a packet can have left of its time to live.
  static let hopsMax: Int32 = 255

  /// Drops packets that have less left of their time to live, before the socket hears of them: the security mechanism of
  /// RFC 5082, for which nobody needs a privilege (a socket filter needs CAP_NET_ADMIN on newer kernels). At 255 only a
  /// neighbour that sends with 255 is still heard: Linux sends with 64. Of a connection that is being made, the last segment
  /// of the handshake gets through (tcp_v4_rcv in net/ipv4/tcp_ipv4.c); the socket that comes of it has the option too. ip(7),
  /// IP_MINTTL.
  static func setLeastHops(on socket: Descriptor, _ hops: Int32) {
    set(socket, Int32(IPPROTO_IP), IP_MINTTL, hops)
    // Refused on a socket of IPv4, as both are on a Unix socket.
    set(socket, Int32(IPPROTO_IPV6), IPV6_MINHOPCOUNT, hops)
  }

  /// For a socket whose other end is on this host. Many hosts send with BBR, which paces by timers and in small segments
  /// whatever the path is: over loopback that doubles the processor time of bulk, and there is no network to be fair to.
  /// Reno neither paces nor measures; every kernel has it and allows it to everybody. tcp(7), TCP_CONGESTION.
  public static func sendUnpaced(on socket: Descriptor) {
    let algorithm: StaticString = "reno"
    _ = setsockopt(
      socket.rawValue, Int32(IPPROTO_TCP), TCP_CONGESTION, algorithm.utf8Start, UInt32(algorithm.utf8CodeUnitCount))
  }

  private static func set(_ socket: Descriptor, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    _ = setsockopt(socket.rawValue, level, option, &value, UInt32(MemoryLayout<Int32>.size))
  }
}

extension UnsafeMutableRawBufferPointer {
  fileprivate var sockaddrPointer: UnsafeMutablePointer<sockaddr>? {
    baseAddress?.assumingMemoryBound(to: sockaddr.self)
  }
}
