// What a worker can do to its kernel, as plain values: the vocabulary in which a test says what it expects and in
// which `Script` prints what happened in its place.

public import IOUring

/// One use of a `Kernel`, with the arguments that matter to a test.
public enum Call: Equatable, Sendable {
  case submitAccept(Descriptor, multishot: Bool)
  case submitConnect(Descriptor, to: String)
  case submitReceive(Descriptor, expectsData: Bool)
  case submitReceiveInto(Descriptor, count: Int)
  case submitSend(Descriptor, bytes: [UInt8], mode: SendMode)
  case submitPoll(Descriptor, Readiness)
  /// Nil: the token names no operation that is in flight.
  case submitCancel(Pending?)
  case submit
  case recycle(BufferID)
  case acceptNow(Descriptor)
  case stopQueueing(Descriptor)
  case hearAgain(Descriptor)
  case openSocket(family: Int32)
  case configureStream(Descriptor)
  case keepAlive(Descriptor)
  case sendUnpaced(Descriptor)
  case sendHeldBack(Descriptor)
  case peerAddress(Descriptor)
  case localAddress(Descriptor)
  case originalDestination(Descriptor, isIPv6: Bool)
  case openPipe(capacity: Int)
  case splice(from: Descriptor, to: Descriptor, count: Int)
  case deliveredBytes(Descriptor)
  case isReadable(Descriptor)
  case shutdown(Descriptor, ShutdownDirection)
  case close(Descriptor)
  case resetOnClose(Descriptor)
  case discardInput(Descriptor)
  case notify(Descriptor)
  case acknowledge(Descriptor)
}

/// Names a submitted operation that has not completed: at most one of each kind is in flight per descriptor.
public enum Pending: Hashable, Sendable {
  case accept(Descriptor)
  case connect(Descriptor)
  case receive(Descriptor)
  case send(Descriptor)
  case poll(Descriptor, Readiness)

  public var descriptor: Descriptor {
    switch self {
    case .accept(let descriptor), .connect(let descriptor), .receive(let descriptor), .send(let descriptor),
      .poll(let descriptor, _):
      descriptor
    }
  }

  /// What `call` puts in flight; nil for calls that act at once.
  init?(_ call: Call) {
    switch call {
    case .submitAccept(let listener, _): self = .accept(listener)
    case .submitConnect(let socket, _): self = .connect(socket)
    case .submitReceive(let socket, _), .submitReceiveInto(let socket, _): self = .receive(socket)
    case .submitSend(let socket, _, _): self = .send(socket)
    case .submitPoll(let descriptor, let readiness): self = .poll(descriptor, readiness)
    default: return nil
    }
  }
}

extension Descriptor: Hashable {
  public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}

/// Prints calls with the names that a test gave its descriptors.
struct CallPrinter {
  var names: [Descriptor: String]

  func text(_ call: Call) -> String {
    switch call {
    case .submitAccept(let listener, let multishot): "accept(\(name(listener)), multishot: \(multishot))"
    case .submitConnect(let socket, let address): "connect(\(name(socket)), to: \(address))"
    case .submitReceive(let socket, let expectsData): "receive(\(name(socket)), expectsData: \(expectsData))"
    case .submitReceiveInto(let socket, let count): "receive(\(name(socket)), into: \(count) bytes)"
    case .submitSend(let socket, let bytes, let mode): "send(\(name(socket)), \(Self.text(bytes)), \(mode))"
    case .submitPoll(let descriptor, let readiness): "poll(\(name(descriptor)), \(readiness))"
    case .submitCancel(let target): "cancel(\(target.map { "\(text($0))" } ?? "nothing"))"
    case .submit: "submit"
    case .recycle(let buffer): "recycle(\(buffer.rawValue))"
    case .acceptNow(let listener): "acceptNow(\(name(listener)))"
    case .stopQueueing(let listener): "stopQueueing(\(name(listener)))"
    case .hearAgain(let socket): "hearAgain(\(name(socket)))"
    case .openSocket(let family): "openSocket(family: \(family))"
    case .configureStream(let socket): "configureStream(\(name(socket)))"
    case .keepAlive(let socket): "keepAlive(\(name(socket)))"
    case .sendUnpaced(let socket): "sendUnpaced(\(name(socket)))"
    case .sendHeldBack(let socket): "sendHeldBack(\(name(socket)))"
    case .peerAddress(let socket): "peerAddress(\(name(socket)))"
    case .localAddress(let socket): "localAddress(\(name(socket)))"
    case .originalDestination(let socket, let isIPv6): "originalDestination(\(name(socket)), isIPv6: \(isIPv6))"
    case .openPipe(let capacity): "openPipe(\(capacity))"
    case .splice(let source, let sink, let count): "splice(\(name(source)) → \(name(sink)), \(count))"
    case .deliveredBytes(let socket): "deliveredBytes(\(name(socket)))"
    case .isReadable(let socket): "isReadable(\(name(socket)))"
    case .shutdown(let socket, let direction): "shutdown(\(name(socket)), \(direction))"
    case .close(let descriptor): "close(\(name(descriptor)))"
    case .resetOnClose(let socket): "resetOnClose(\(name(socket)))"
    case .discardInput(let socket): "discardInput(\(name(socket)))"
    case .notify(let event): "notify(\(name(event)))"
    case .acknowledge(let event): "acknowledge(\(name(event)))"
    }
  }

  func text(_ pending: Pending) -> String {
    switch pending {
    case .accept(let listener): "accept(\(name(listener)))"
    case .connect(let socket): "connect(\(name(socket)))"
    case .receive(let socket): "receive(\(name(socket)))"
    case .send(let socket): "send(\(name(socket)))"
    case .poll(let descriptor, let readiness): "poll(\(name(descriptor)), \(readiness))"
    }
  }

  func name(_ descriptor: Descriptor) -> String { names[descriptor] ?? "\(descriptor.rawValue)" }

  /// Short text as text, anything longer by its size and its ends.
  private static func text(_ bytes: [UInt8]) -> String {
    if bytes.count <= 40 { return "\"\(String(decoding: bytes, as: UTF8.self))\"" }
    let ends = (String(decoding: bytes.prefix(8), as: UTF8.self), String(decoding: bytes.suffix(8), as: UTF8.self))
    return "\"\(ends.0)\"…\"\(ends.1)\" (\(bytes.count) bytes)"
  }
}
