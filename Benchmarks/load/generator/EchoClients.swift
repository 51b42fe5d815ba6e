// Clients that send messages and get them back: what the closed loop, the fixed rate and the idle connections have in
// common. Each connection has at most one message under way, and each reply is compared with what was sent.

import Glibc
import IOUring

/// Connections to an echoing origin.
struct EchoClients: ~Copyable {
  private(set) var sockets: Sockets
  private let messageBytes: Int
  let connections: Int
  private let states: UnsafeMutablePointer<State>
  /// Messages whose replies are not complete.
  private(set) var underWay = 0

  private struct State {
    var received = 0
    var messages: UInt64 = 0
    /// Whether the send and the reply of the message under way are yet to end.
    var isSending = false
    var isWaiting = false
  }

  /// Connection attempts at the same time: enough to keep the proxy busy, and far from any backlog.
  private static let attemptsMax = 64

  /// Opens all connections, one message each, so that every hop of each is there.
  ///
  /// - Parameters:
  ///   - messageBytes: at least 16.
  static func open(_ connections: Int, messageBytes: Int, to address: LoopbackAddress) throws -> EchoClients {
    guard messageBytes >= 16, messageBytes <= 65_536 else { throw LoadError("messages are 16 to 65536 bytes long") }
    let sockets = try Sockets(capacity: connections, bufferBytes: messageBytes + Request.byteCount)
    var clients = EchoClients(sockets, connections, messageBytes)
    try clients.establish(address)
    return clients
  }

  private init(_ sockets: consuming Sockets, _ connections: Int, _ messageBytes: Int) {
    self.sockets = sockets
    self.connections = connections
    self.messageBytes = messageBytes
    states = .allocate(capacity: connections)
    states.initialize(repeating: State(), count: connections)
  }

  deinit { states.deallocate() }

  private mutating func establish(_ address: LoopbackAddress) throws {
    let deadline = monotonicNanoseconds() + 30_000_000_000
    var attempted = 0
    var established = 0
    while established < connections {
      while attempted < connections, attempted - established < EchoClients.attemptsMax {
        try sockets.connect(sockets.takeSlot(), to: address)
        attempted += 1
      }
      sockets.wait(until: deadline)
      guard monotonicNanoseconds() < deadline else {
        throw LoadError("after 30 s only \(established) of \(connections) connections are open")
      }
      while let event = sockets.next() {
        if event.kind == .connected {
          guard event.result == 0 else { throw LoadError("connect: \(errorText(event.result))") }
          send(event.slot, opening: true)
        } else if try handle(event) {
          established += 1
        }
      }
    }
  }

  /// Sends the next message of a connection that has none under way.
  mutating func send(_ slot: Int, opening: Bool = false) {
    let buffer = sockets.sendBuffer(slot)
    states[slot].messages += 1
    states[slot].received = 0
    states[slot].isSending = true
    states[slot].isWaiting = true
    underWay += 1
    buffer.storeBytes(of: states[slot].messages, toByteOffset: Request.byteCount, as: UInt64.self)
    buffer.storeBytes(of: UInt64(slot), toByteOffset: Request.byteCount + 8, as: UInt64.self)
    if opening { Request.write(.echo, to: buffer) }
    sockets.send(slot, UnsafeRawBufferPointer(rebasing: buffer[(opening ? 0 : Request.byteCount)...]))
    receive(slot)
  }

  /// Takes note of an event.
  /// - Returns: whether the round trip of the event's connection is complete.
  mutating func handle(_ event: SocketEvent) throws -> Bool {
    let slot = event.slot
    switch event.kind {
    case .sent:
      guard event.result > 0 else { throw LoadError("send: \(errorText(event.result))") }
      states[slot].isSending = false
    case .received:
      guard event.result > 0 else {
        throw LoadError(event.result == 0 ? "a connection was closed" : "receive: \(errorText(event.result))")
      }
      states[slot].received += event.result
      if states[slot].received < messageBytes {
        receive(slot)
        return false
      }
      guard memcmp(reply(slot), sockets.sendBuffer(slot).baseAddress! + Request.byteCount, messageBytes) == 0 else {
        throw LoadError("a reply differs from the message that was sent")
      }
      states[slot].isWaiting = false
    case .connected, .accepted:
      preconditionFailure("a client in use connects no more")
    }
    // The reply can overtake the completion of the send.
    guard !states[slot].isSending, !states[slot].isWaiting else { return false }
    underWay -= 1
    return true
  }

  mutating func wait(until deadline: UInt64) { sockets.wait(until: deadline) }
  mutating func next() -> SocketEvent? { sockets.next() }

  /// Waits for all replies that are due.
  mutating func settle() throws {
    let deadline = monotonicNanoseconds() + 5_000_000_000
    while underWay > 0 {
      sockets.wait(until: deadline)
      while let event = sockets.next() { _ = try handle(event) }
      guard underWay == 0 || monotonicNanoseconds() < deadline else {
        throw LoadError("\(underWay) messages are lost")
      }
    }
  }

  private func reply(_ slot: Int) -> UnsafeMutableRawPointer { sockets.receiveBuffer(slot).baseAddress! }

  private mutating func receive(_ slot: Int) {
    let buffer = sockets.receiveBuffer(slot)[states[slot].received..<messageBytes]
    sockets.receive(slot, into: UnsafeMutableRawBufferPointer(rebasing: buffer))
  }
}
