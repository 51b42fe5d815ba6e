// One end of a connection in the simulated network, with the rules of TCP that a proxy can observe: half-close, resets,
// what a read finds after each, and how much a send takes. It knows nothing of descriptors or operations.

import Glibc

/// An end of a stream. The other end is `peer`; what one writes the other reads.
public final class SimulatedStream {
  /// Numbers the ends of a world in the order in which they were made.
  public let id: Int
  /// A Unix socket knows no reset: closing always ends the stream in good order.
  public let isUnix: Bool
  weak var peer: SimulatedStream?
  private unowned let world: SimulatedWorld

  /// Bytes that were sent to this end. The first `arrived` of them can be read, the others are on their way.
  private var inbox: ByteQueue
  private(set) var arrived = 0
  /// The last of those on their way, which their sender holds back until more follows, for ever if nothing does: Linux would send
  /// them in the end, and hide that a worker has forgotten what it announced. MSG_MORE.
  private var heldBack = 0
  /// Bytes that were ever sent to this end, those that it has not read included.
  public private(set) var sentHereCount = 0
  private var finOnItsWay = false
  private var resetOnItsWay = false
  /// Nothing comes any more: the other end's FIN is here, or this end has shut its reading direction.
  private(set) var finArrived = false
  public private(set) var resetArrived = false
  /// Bytes before urgent data, at which a receive stops; the urgent byte itself is not part of the stream. tcp(7).
  private var urgentMark: Int?
  /// The error of a reset is reported once, to whoever asks first. Linux: sk_err.
  private var errorPending = false
  private(set) var isWriteShut = false
  public private(set) var isClosed = false
  public var resetsOnClose = false
  /// Accepted from a listener that had stopped queueing: hears nothing.
  var isDeaf = false

  /// The worker's descriptor for this end, or the actor that plays it: whom a change concerns.
  var descriptor: Int32?
  public weak var actor: SimulatedActor?

  init(id: Int, capacity: Int, isUnix: Bool, world: SimulatedWorld) {
    self.id = id
    self.isUnix = isUnix
    self.world = world
    inbox = ByteQueue(capacity: capacity)
  }

  // MARK: Reading

  /// All was read, and its end is known. A reset behind that is found later: SOCK_DONE in tcp_recvmsg_locked, net/ipv4/tcp.c.
  var isAtEnd: Bool { arrived == 0 && finArrived }
  var isReadable: Bool { arrived > 0 || finArrived || resetArrived }

  /// Bytes read, 0 at the end of the stream, or `-errno`. recv(2) without waiting.
  public func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    guard !isClosed else { return -Int(EBADF) }
    if urgentMark == 0 { urgentMark = nil }
    if arrived > 0 {
      let count = inbox.remove(
        into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(min(buffer.count, arrived, urgentMark ?? .max))))
      arrived -= count
      urgentMark = urgentMark.map { $0 - count }
      peer.map(world.changed)
      return count
    }
    // Linux looks at the end of the stream before it looks at the error.
    if finArrived { return 0 }
    if let error = takeError() { return -Int(error) }
    return resetArrived ? 0 : -Int(EAGAIN)
  }

  /// Drops what could be read.
  func discardArrived() {
    guard !isClosed else { return }
    withUnsafeTemporaryAllocation(byteCount: max(arrived, 1), alignment: 1) { buffer in
      while arrived > 0, read(into: buffer) > 0 {}
    }
  }

  // MARK: Writing

  /// How much a send would take: room in the buffer, or anything at all where it would fail or go nowhere.
  var writeRoom: Int {
    guard let peer, !resetArrived, !isWriteShut, !peer.isClosed else { return .max }
    return peer.inbox.room
  }

  /// poll(2) calls a socket writable only when a good part of its buffer is free.
  var isWritable: Bool {
    guard let peer, !resetArrived, !isWriteShut, !peer.isClosed else { return true }
    return peer.inbox.room * 3 >= peer.inbox.capacity
  }

  /// Bytes taken, or `-errno`. send(2) without waiting.
  public func write(_ bytes: UnsafeRawBufferPointer) -> Int { write(bytes, isBeforeMore: false) }

  /// - Parameter isBeforeMore: whether they wait for what follows.
  func write(_ bytes: UnsafeRawBufferPointer, isBeforeMore: Bool) -> Int {
    guard !isClosed else { return -Int(EBADF) }
    if let error = writeError() { return -Int(error) }
    guard let peer else { return -Int(EPIPE) }
    if peer.isClosed {
      // Nobody is there any more: the bytes go out, and a reset comes back.
      receiveReset()
      return bytes.count
    }
    guard peer.inbox.room > 0 else { return -Int(EAGAIN) }
    let count = peer.inbox.append(bytes)
    peer.sentHereCount += count
    // What finds no room, or leaves none, is not held back for what follows: that finds none either. tcp_sendmsg_locked in
    // net/ipv4/tcp.c.
    peer.heldBack = isBeforeMore && count == bytes.count && peer.inbox.room > 0 ? peer.heldBack + count : 0
    world.sent(to: peer)
    return count
  }

  /// Bytes that have arrived at the other end, as long as others haven't been read there.
  var deliveredCount: Int? {
    guard let peer, !isUnix, peer.inbox.count > 0 else { return nil }
    return peer.sentHereCount - (peer.inbox.count - peer.arrived)
  }

  /// Lets those go that wait for what follows.
  func sendHeldBack() {
    guard let peer, peer.heldBack > 0 else { return }
    peer.heldBack = 0
    world.sent(to: peer)
  }

  /// Sends one byte of urgent data, which a reader never sees but stops at once. RFC 9293 section 3.8.5.
  public func writeUrgent() {
    guard let peer else { return }
    peer.urgentMark = peer.inbox.count
  }

  /// The error that the next write would meet, and takes; nil where bytes can go.
  func writeError() -> Int32? {
    if isWriteShut { return EPIPE }
    if let error = takeError() { return error }
    return resetArrived || peer == nil ? EPIPE : nil
  }

  // MARK: Ending

  /// shutdown(2) of the writing direction: 0 or `-errno`.
  public func finish() -> Int32 {
    guard !isClosed else { return -EBADF }
    if resetArrived { return -ENOTCONN }
    guard !isWriteShut else { return 0 }
    isWriteShut = true
    peer?.receiveFin()
    return 0
  }

  /// shutdown(2) of the reading direction. The other end doesn't hear of it.
  func stopReading() {
    finArrived = true
    world.changed(self)
  }

  /// close(2).
  public func close() {
    guard !isClosed else { return }
    // Bytes that nobody has read make a close a reset, whatever was asked for.
    let cuts = (resetsOnClose && !isUnix) || inbox.count > 0
    isClosed = true
    guard let peer, !resetArrived, !peer.isClosed else { return }
    if cuts {
      peer.dropWhatIsOnItsWay()
      peer.receiveReset()
    } else if !isWriteShut {
      peer.receiveFin()
    }
    world.changed(peer)
  }

  // MARK: The network's side

  private func receiveFin() {
    heldBack = 0
    finOnItsWay = true
    world.sent(to: self)
  }

  /// A reset overtakes what was sent before it; a FIN behind lost bytes never arrives.
  private func dropWhatIsOnItsWay() {
    if inbox.count > arrived { finOnItsWay = false }
    inbox.truncate(to: arrived)
    heldBack = 0
  }

  private func receiveReset() {
    guard !isClosed, !resetArrived else { return }
    heldBack = 0
    resetOnItsWay = true
    world.sent(to: self)
  }

  var isExpectingMore: Bool {
    !isClosed && !resetArrived
      && (inbox.count - heldBack > arrived || (finOnItsWay && !finArrived) || resetOnItsWay)
  }

  /// Lets at most `count` bytes arrive, and what follows the last of them.
  func deliver(bytesMax count: Int) {
    let delivered = min(count, inbox.count - heldBack - arrived)
    arrived += delivered
    if inbox.count == arrived {
      if finOnItsWay { finArrived = true }
      if resetOnItsWay, !resetArrived {
        resetArrived = true
        errorPending = true
      }
    }
    world.changed(self)
  }

  // MARK: poll(2)

  /// The events that poll(2) would report, those that are always reported included.
  func events(readable: Bool, writable: Bool) -> Int32 {
    var events: Int32 = 0
    if readable, isReadable { events |= Int32(POLLIN) }
    if readable, finArrived || resetArrived { events |= Self.pollReadHangUp }
    if writable, isWritable { events |= Int32(POLLOUT) }
    if errorPending { events |= Int32(POLLERR) }
    if resetArrived || (finArrived && isWriteShut) { events |= Int32(POLLHUP) }
    return events
  }

  /// POLLRDHUP, which Glibc hides from Swift.
  private static var pollReadHangUp: Int32 { 0x2000 }

  private func takeError() -> Int32? {
    guard errorPending else { return nil }
    errorPending = false
    return ECONNRESET
  }
}
