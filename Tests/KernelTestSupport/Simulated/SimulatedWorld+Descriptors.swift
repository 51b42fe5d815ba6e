// Descriptors of the simulated world and what they stand for. As on a real host the lowest free number is given out
// first, so that a number that was closed too early soon means something else.

import Glibc
public import IOUring

/// What a descriptor stands for.
final class SimulatedObject {
  enum Kind {
    case listener(SimulatedListener)
    /// A socket that is not connected yet.
    case socket(isUnix: Bool)
    case stream(SimulatedStream)
    case pipe(SimulatedPipe, isReadEnd: Bool)
  }

  var kind: Kind
  var operations: [SimulatedOperation] = []
  /// Asked for before the socket was connected.
  var resetsOnClose = false
  /// The answer to a connect has come; `refusal` when it is a no.
  var isAnswered = false
  var refusal: Int32?
  /// Waits in `SimulatedWorld.changedDescriptors`.
  var isMarked = false

  init(_ kind: Kind) { self.kind = kind }
}

/// A listening socket.
public final class SimulatedListener {
  public let address: String
  var queue: [SimulatedStream] = []
  /// A listener of Unix sockets.
  public let isUnix: Bool
  /// New connections are let in.
  public internal(set) var isOpen = true
  /// Nothing accepts from it any more.
  public internal(set) var isClosed = false
  public let descriptor: Descriptor
  /// Connections that nobody has accepted.
  public var waitingCount: Int { queue.count }

  init(address: String, descriptor: Descriptor) {
    self.address = address
    isUnix = address.hasPrefix("unix:")
    self.descriptor = descriptor
  }
}

extension SimulatedWorld {
  /// Above every number that this process can have, so that a stray system call hits nothing.
  static let descriptorBase: Int32 = 1 << 24
  /// A number that is never given out.
  public static let unusedDescriptor: Int32 = .max

  func object(_ descriptor: Descriptor) -> SimulatedObject? {
    let index = Int(descriptor.rawValue - Self.descriptorBase)
    return descriptors.indices.contains(index) ? descriptors[index] : nil
  }

  func object(_ number: Int32) -> SimulatedObject? { object(Descriptor(rawValue: number)) }

  /// The lowest free number; nil when the limit is reached.
  func open(_ kind: SimulatedObject.Kind) -> Descriptor? {
    guard openDescriptorCount < descriptorsMax else { return nil }
    openDescriptorCount += 1
    let index = descriptors.firstIndex { $0 == nil } ?? descriptors.count
    if index == descriptors.count { descriptors.append(nil) }
    descriptors[index] = SimulatedObject(kind)
    let number = Self.descriptorBase + Int32(index)
    if case .stream(let stream) = kind { stream.descriptor = number }
    return Descriptor(rawValue: number)
  }

  func close(_ descriptor: Descriptor) {
    trace("close", Int(descriptor.rawValue))
    guard let object = object(descriptor) else {
      violation("close of \(descriptor.rawValue), which is not open")
      return
    }
    if !object.operations.isEmpty || submitted.contains(where: { $0.descriptor == descriptor.rawValue }) {
      violation("close of \(descriptor.rawValue) while operations are in flight")
    }
    descriptors[Int(descriptor.rawValue - Self.descriptorBase)] = nil
    openDescriptorCount -= 1
    switch object.kind {
    case .listener(let listener):
      listener.isOpen = false
      listener.isClosed = true
      // What nobody has accepted is reset.
      for stream in listener.queue {
        stream.resetsOnClose = true
        stream.close()
      }
      listener.queue = []
    case .socket:
      connecting.removeAll { $0.descriptor == descriptor.rawValue }
    case .stream(let stream):
      stream.descriptor = nil
      stream.close()
    case .pipe:
      break
    }
  }

  // MARK: Listening and connecting, from the outside

  /// A listening socket, to be handed to the worker.
  public func listen(on address: String) -> SimulatedListener {
    let number = descriptors.firstIndex { $0 == nil } ?? descriptors.count
    let listener = SimulatedListener(
      address: address, descriptor: Descriptor(rawValue: Self.descriptorBase + Int32(number)))
    guard open(.listener(listener)) != nil else { preconditionFailure("no descriptor for a listener") }
    return listener
  }

  /// A client's end of a new connection, or nil when nobody listens.
  public func connect(to listener: SimulatedListener) -> SimulatedStream? {
    guard let (stream, arrive) = beginConnecting(to: listener) else { return nil }
    arrive()
    return stream
  }

  /// A client's end of a connection whose handshake lacks the client's last segment, and what lets that arrive; nil when
  /// nobody listens.
  public func beginConnecting(to listener: SimulatedListener) -> (stream: SimulatedStream, arrive: () -> Void)? {
    guard listener.isOpen else { return nil }
    let (near, far) = makeStreams(isUnix: listener.isUnix)
    return (near, { [unowned self] in queue(far, on: listener) })
  }

  /// Puts an end of a connection where an accept finds it; where nothing accepts any more it is reset.
  public func queue(_ stream: SimulatedStream, on listener: SimulatedListener) {
    guard !listener.isClosed else {
      stream.resetsOnClose = true
      stream.close()
      return
    }
    listener.queue.append(stream)
    changed(listener.descriptor.rawValue)
  }

  /// Hands an end that played a peer to the worker: both ends of its connection are the worker's from now on.
  public func adopt(_ stream: SimulatedStream) -> Descriptor? { open(.stream(stream)) }

  func makeStreams(isUnix: Bool) -> (SimulatedStream, SimulatedStream) {
    let near = SimulatedStream(id: streams.count, capacity: socketCapacity(), isUnix: isUnix, world: self)
    let far = SimulatedStream(id: streams.count + 1, capacity: socketCapacity(), isUnix: isUnix, world: self)
    streams += [near, far]
    near.peer = far
    far.peer = near
    return (near, far)
  }

  // MARK: Calls of the worker

  func accept(_ listener: SimulatedListener) -> Int32 {
    guard let stream = listener.queue.first else { return -EAGAIN }
    if random.chance(faults.acceptExhausted) { return -(random.chance(0.5) ? EMFILE : ENFILE) }
    guard let descriptor = open(.stream(stream)) else { return -EMFILE }
    listener.queue.removeFirst()
    stream.isDeaf = !listener.isOpen
    acceptedCount += 1
    // What it has received meanwhile concerns nobody yet: the worker's first operation will look.
    return descriptor.rawValue
  }

  func openSocket(family: Int32) -> Int32 {
    if random.chance(faults.socketExhausted) { return -(random.chance(0.5) ? EMFILE : ENFILE) }
    guard let descriptor = open(.socket(isUnix: family == AF_UNIX)) else { return -EMFILE }
    trace("socket", Int(descriptor.rawValue), Int(family))
    return descriptor.rawValue
  }

  /// SO_LINGER may be set on a socket that is still being connected.
  func resetOnClose(_ descriptor: Descriptor) {
    trace("reset on close", Int(descriptor.rawValue))
    object(descriptor)?.resetsOnClose = true
    stream(descriptor)?.resetsOnClose = true
  }

  /// The stream behind a descriptor of the worker's.
  public func stream(_ descriptor: Descriptor) -> SimulatedStream? {
    if case .stream(let stream) = object(descriptor)?.kind { return stream }
    return nil
  }
}
