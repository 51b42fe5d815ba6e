// The network of the simulation: streams in memory, on one thread. Where a host's peer would block, this one lets the
// world go on; what it does beside the test is an actor of the world, which acts while the kernel under test waits.

import Glibc
import IOUring
import KernelTestSupport
import Testing

/// Listeners by their address, and what becomes of a connect to each.
final class SimulatedNetwork {
  let world: SimulatedWorld
  private var listeners: [String: SimulatedSocket] = [:]
  private var portLast: UInt16 = 30_000

  init(_ world: SimulatedWorld) {
    self.world = world
    world.connectOutcome = { [unowned self] address in
      guard let listener = listeners[address], listener.socket.isOpen else {
        return .refused(errno: ECONNREFUSED, after: 0)
      }
      if listener.hasRoom { return .established(after: 0) }
      // A Unix socket does not wait for room, unix(7); a TCP one tries again until it gives up.
      return listener.socket.isUnix ? .refused(errno: EAGAIN, after: 0) : .silence
    }
    world.upstreamConnected = { [unowned self] far, _, address in
      // The bare name is the initializer's: this closure would keep the world that keeps it.
      if let listener = listeners[address] { self.world.queue(far, on: listener.socket) }
    }
  }

  func listen(_ family: Family, backlog: Int) -> any Listener {
    portLast += 1
    let name = "/run/conformance-\(portLast)"
    let text = family == .tcp ? "127.0.0.1:\(portLast)" : "unix:\(name)"
    let listener = SimulatedSocket(
      world: world, socket: world.listen(on: text),
      address: family == .tcp ? .loopback(port: portLast) : .unix(Array(name.utf8) + [0]), backlog: backlog)
    listeners[text] = listener
    return listener
  }
}

/// A listening socket of the simulation.
struct SimulatedSocket: Listener {
  let world: SimulatedWorld
  let socket: SimulatedListener
  let address: Address
  let backlog: Int

  var descriptor: Descriptor { socket.descriptor }

  /// listen(2): one more than the backlog is let in.
  var hasRoom: Bool { socket.waitingCount <= backlog }

  func dial(blocking: Bool) throws -> any Peer {
    let stream = hasRoom ? world.connect(to: socket) : nil
    try #require(stream != nil || !blocking)
    return SimulatedPeer(world: world, stream: stream)
  }

  func dialHalfway() throws -> any Peer {
    let (stream, arrive) = try #require(world.beginConnecting(to: socket))
    var hasArrived = false
    return SimulatedPeer(world: world, stream: stream) {
      if !hasArrived { arrive() }
      hasArrived = true
    }
  }
}

/// A far end in memory; without a stream as long as a listener has no room for it.
struct SimulatedPeer: Peer {
  let world: SimulatedWorld
  let stream: SimulatedStream?
  /// What is left of its handshake.
  var arrive: () -> Void = {}

  func write(_ bytes: [UInt8]) {
    arrive()
    let written = bytes.withUnsafeBytes { stream?.write($0) }
    if let written, written >= 0, written < bytes.count { Issue.record("a socket of the simulation is too small") }
  }

  func writeUrgent(_ byte: UInt8) { stream?.writeUrgent() }

  func read(_ count: Int) -> [UInt8] {
    world.settle()
    return stream.map { Self.read($0, count) } ?? []
  }

  /// What is there, up to `count` bytes. A host's peer would wait for more, which nobody could send meanwhile.
  static func read(_ stream: SimulatedStream, _ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let room = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
        let received = stream.read(into: room)
        guard received > 0 else { return }
        filled += received
      }
    }
  }

  func readEnd() -> Int32 {
    world.settle()
    guard let stream else { return EBADF }
    while true {
      let received = withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { stream.read(into: $0) }
      if received <= 0 { return Int32(-received) }
    }
  }

  func finish() { _ = stream?.finish() }
  func close() { stream?.close() }

  func reset() {
    stream?.resetsOnClose = true
    stream?.close()
  }

  func segmentsReceived() -> UInt32? { nil }

  func port() -> UInt16 {
    guard let stream, let port = SimulatedWorld.clientAddress(stream).split(separator: ":").last else { return 0 }
    return UInt16(port) ?? 0
  }

  func startWriting(_ bytes: [UInt8]) -> any BackgroundWork { work(SimulatedWork(world, stream, toSend: bytes)) }
  func startReading(_ count: Int) -> any BackgroundWork { work(SimulatedWork(world, stream, toRead: count)) }

  private func work(_ work: SimulatedWork) -> SimulatedWork {
    stream?.actor = work
    world.add(work)
    return work
  }

  func adopt() throws -> Descriptor { try #require(stream.flatMap(world.adopt)) }
}

/// Sends bytes and finishes, or reads so many, as there is room and as they arrive.
final class SimulatedWork: SimulatedActor, BackgroundWork {
  private unowned let world: SimulatedWorld
  private let stream: SimulatedStream?
  private var toSend: [UInt8]?
  private var toRead: Int
  private var bytes: [UInt8] = []

  init(_ world: SimulatedWorld, _ stream: SimulatedStream?, toSend: [UInt8]? = nil, toRead: Int = 0) {
    self.world = world
    self.stream = stream
    self.toSend = toSend
    self.toRead = toRead
  }

  func act() -> UInt64 {
    guard let stream else { return .max }
    if let rest = toSend {
      let written = rest.withUnsafeBytes { stream.write($0) }
      if written > 0 { toSend = Array(rest.dropFirst(written)) }
      if toSend?.isEmpty == true {
        toSend = nil
        _ = stream.finish()
      }
    }
    if toRead > 0 {
      let read = SimulatedPeer.read(stream, toRead)
      toRead -= read.count
      bytes += read
    }
    // Room and bytes wake it.
    return .max
  }

  func result() -> [UInt8] {
    world.settle()
    return bytes
  }
}
