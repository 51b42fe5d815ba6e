// One line of a test's script: a call that the worker is expected to make, and what the kernel answers.

public import IOUring

/// An expected call and its answer. The factories read like the calls themselves.
public struct Step: Sendable {
  public var call: Call
  public var answer: Answer = .nothing

  /// What a call that acts at once returns.
  public enum Answer: Sendable {
    case nothing
    /// Zero or positive: success; negative: `-errno`.
    case result(Int)
    /// An address in text, as `AddressText` reads it.
    case address(String)
    case pipe(Pipe)
  }

  // MARK: Submissions

  public static func accept(_ listener: Descriptor, multishot: Bool = true) -> Step {
    Step(call: .submitAccept(listener, multishot: multishot))
  }
  public static func connect(_ socket: Descriptor, to address: String) -> Step {
    Step(call: .submitConnect(socket, to: address))
  }
  public static func receive(_ socket: Descriptor, expectsData: Bool) -> Step {
    Step(call: .submitReceive(socket, expectsData: expectsData))
  }
  public static func receive(_ socket: Descriptor, into count: Int) -> Step {
    Step(call: .submitReceiveInto(socket, count: count))
  }
  public static func send(_ socket: Descriptor, _ text: String, _ mode: SendMode = .immediate) -> Step {
    Step(call: .submitSend(socket, bytes: Array(text.utf8), mode: mode))
  }
  /// A send of whatever bytes; see `Script.ignoresSentBytes`.
  public static func sendAnything(_ socket: Descriptor, _ mode: SendMode = .immediate) -> Step {
    Step(call: .submitSend(socket, bytes: [], mode: mode))
  }
  public static func poll(_ descriptor: Descriptor, _ readiness: Readiness) -> Step {
    Step(call: .submitPoll(descriptor, readiness))
  }
  public static func cancel(_ target: Pending?) -> Step { Step(call: .submitCancel(target)) }
  /// Hands over what was submitted so far.
  public static var submit: Step { Step(call: .submit) }

  // MARK: Calls that act at once

  public static func recycle(_ buffer: UInt16) -> Step { Step(call: .recycle(BufferID(rawValue: buffer))) }

  public static func acceptNow(_ listener: Descriptor, gives socket: Descriptor) -> Step {
    Step(call: .acceptNow(listener), answer: .result(Int(socket.rawValue)))
  }
  public static func acceptNow(_ listener: Descriptor, fails errno: Int32) -> Step {
    Step(call: .acceptNow(listener), answer: .result(-Int(errno)))
  }
  public static func stopQueueing(_ listener: Descriptor) -> Step { Step(call: .stopQueueing(listener)) }
  public static func hearAgain(_ socket: Descriptor) -> Step { Step(call: .hearAgain(socket)) }
  public static func openSocket(_ family: Int32, gives socket: Descriptor) -> Step {
    Step(call: .openSocket(family: family), answer: .result(Int(socket.rawValue)))
  }
  public static func openSocket(_ family: Int32, fails errno: Int32) -> Step {
    Step(call: .openSocket(family: family), answer: .result(-Int(errno)))
  }
  public static func keepAlive(_ socket: Descriptor) -> Step { Step(call: .keepAlive(socket)) }
  public static func sendUnpaced(_ socket: Descriptor) -> Step { Step(call: .sendUnpaced(socket)) }
  public static func sendHeldBack(_ socket: Descriptor) -> Step { Step(call: .sendHeldBack(socket)) }
  public static func configureStream(_ socket: Descriptor) -> Step { Step(call: .configureStream(socket)) }

  public static func peerAddress(_ socket: Descriptor, is address: String) -> Step {
    Step(call: .peerAddress(socket), answer: .address(address))
  }
  public static func peerAddress(_ socket: Descriptor, fails errno: Int32) -> Step {
    Step(call: .peerAddress(socket), answer: .result(-Int(errno)))
  }
  public static func localAddress(_ socket: Descriptor, is address: String) -> Step {
    Step(call: .localAddress(socket), answer: .address(address))
  }
  public static func originalDestination(_ socket: Descriptor, isIPv6: Bool = false, is address: String) -> Step {
    Step(call: .originalDestination(socket, isIPv6: isIPv6), answer: .address(address))
  }
  public static func originalDestination(_ socket: Descriptor, isIPv6: Bool = false, fails errno: Int32) -> Step {
    Step(call: .originalDestination(socket, isIPv6: isIPv6), answer: .result(-Int(errno)))
  }

  public static func openPipe(_ capacity: Int, gives pipe: Pipe) -> Step {
    Step(call: .openPipe(capacity: capacity), answer: .pipe(pipe))
  }
  public static func openPipe(_ capacity: Int, fails errno: Int32) -> Step {
    Step(call: .openPipe(capacity: capacity), answer: .result(-Int(errno)))
  }
  /// `moves`: bytes moved, 0 at end of input, or `-errno`.
  public static func splice(_ source: Descriptor, _ sink: Descriptor, _ count: Int, moves: Int) -> Step {
    Step(call: .splice(from: source, to: sink, count: count), answer: .result(moves))
  }

  /// - Parameter count: nil where none are on their way.
  public static func deliveredBytes(_ socket: Descriptor, are count: Int?) -> Step {
    Step(call: .deliveredBytes(socket), answer: .result(count ?? -1))
  }

  public static func isReadable(_ socket: Descriptor, is answer: Bool) -> Step {
    Step(call: .isReadable(socket), answer: .result(answer ? 1 : 0))
  }

  public static func shutdown(_ socket: Descriptor, fails errno: Int32 = 0) -> Step {
    Step(call: .shutdown(socket, .write), answer: .result(-Int(errno)))
  }
  public static func close(_ descriptor: Descriptor) -> Step { Step(call: .close(descriptor)) }
  public static func resetOnClose(_ socket: Descriptor) -> Step { Step(call: .resetOnClose(socket)) }
  public static func discardInput(_ socket: Descriptor) -> Step { Step(call: .discardInput(socket)) }
  public static func notify(_ event: Descriptor) -> Step { Step(call: .notify(event)) }
  public static func acknowledge(_ event: Descriptor) -> Step { Step(call: .acknowledge(event)) }
}

/// One completion that the test hands to the worker.
public struct Event: Sendable {
  enum Target: Sendable {
    /// The operation that is in flight under this name.
    case pending(Pending)
    /// Any token: a stale one, or one that was never given out.
    case token(Token)
  }

  var target: Target
  var result: Int32
  var flags: Completion.Flags = []
  /// What the kernel wrote before it completed the receive.
  var bytes: [UInt8] = []
  var buffer: BufferID?

  public static func accepted(_ socket: Descriptor, on listener: Descriptor, more: Bool = true) -> Event {
    Event(target: .pending(.accept(listener)), result: socket.rawValue, flags: more ? .more : [])
  }
  public static func connected(_ socket: Descriptor) -> Event {
    Event(target: .pending(.connect(socket)), result: 0)
  }
  /// Bytes from a socket in a provided buffer; `socketNonEmpty`: more wait in the socket.
  public static func received(
    _ text: String, from socket: Descriptor, buffer: UInt16, socketNonEmpty: Bool = false, last: Bool = false
  ) -> Event {
    received(Array(text.utf8), from: socket, buffer: buffer, socketNonEmpty: socketNonEmpty, last: last)
  }
  /// `last`: the socket's FIN is known along with them.
  public static func received(
    _ bytes: [UInt8], from socket: Descriptor, buffer: UInt16, socketNonEmpty: Bool = false, last: Bool = false
  ) -> Event {
    var flags: Completion.Flags = socketNonEmpty ? .socketNonEmpty : []
    if last { flags.insert(.lastBytes) }
    return Event(
      target: .pending(.receive(socket)), result: Int32(bytes.count), flags: flags, bytes: bytes,
      buffer: BufferID(rawValue: buffer))
  }
  /// Bytes from a socket in memory of the worker's own.
  public static func received(_ text: String, from socket: Descriptor, socketNonEmpty: Bool = false) -> Event {
    let bytes = Array(text.utf8)
    return Event(
      target: .pending(.receive(socket)), result: Int32(bytes.count), flags: socketNonEmpty ? .socketNonEmpty : [],
      bytes: bytes)
  }
  /// The socket's FIN.
  public static func ended(_ socket: Descriptor) -> Event { Event(target: .pending(.receive(socket)), result: 0) }

  public static func sent(_ count: Int, to socket: Descriptor) -> Event {
    Event(target: .pending(.send(socket)), result: Int32(count))
  }
  /// A poll's end; `events` are those of poll(2).
  public static func ready(_ descriptor: Descriptor, _ readiness: Readiness, events: Int32) -> Event {
    Event(target: .pending(.poll(descriptor, readiness)), result: events)
  }
  public static func failed(_ operation: Pending, _ errno: Int32) -> Event {
    Event(target: .pending(operation), result: -errno)
  }
  /// A completion that no operation in flight stands behind; a buffer among its flags counts as taken.
  public static func stray(_ token: Token, result: Int32, buffer: UInt16? = nil) -> Event {
    Event(target: .token(token), result: result, buffer: buffer.map(BufferID.init(rawValue:)))
  }
}
