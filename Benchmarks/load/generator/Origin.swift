// `sidecar-load origin`: the server behind the proxies. One thread; what a connection gets is what its first bytes ask
// for (Wire.swift). What breaks the rules is reset, so that the load at the other end sees it and fails.

import ArgumentParser
import Glibc
import IOUring

struct Origin: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Serve what the loads ask for, until killed.")

  @Option(help: "Where to listen.")
  var listen: LoopbackAddress

  @Option(help: "Connections at the same time.")
  var connections = 10_100

  @Option(help: "A file in which to count the bytes of streams that have come.")
  var received: SharedCount?

  func run() throws {
    var server = OriginServer(
      sockets: try Sockets(capacity: connections, bufferBytes: 262_144, listener: try listen.listen()),
      capacity: connections, received: received)
    print("listening")
    fflush(nil)
    server.serve()
  }
}

private struct OriginServer: ~Copyable {
  var sockets: Sockets
  let connections: UnsafeMutablePointer<Connection>
  let received: SharedCount?

  /// What the origin is doing for one connection.
  struct Connection {
    enum State {
      case expectsRequest
      case echoes
      case sinks
      case sources
      /// The end of the stream, or the only reply, is on its way.
      case ends
    }

    var state = State.expectsRequest
    var requestBytes = 0
    var check = StreamCheck()
    var piecesSent: UInt64 = 0
    var stopIsWanted = false
  }

  init(sockets: consuming Sockets, capacity: Int, received: SharedCount?) {
    self.sockets = sockets
    self.received = received
    connections = .allocate(capacity: capacity)
    connections.initialize(repeating: Connection(), count: capacity)
  }

  mutating func serve() {
    while true {
      sockets.wait()
      while let event = sockets.next() {
        switch event.kind {
        case .accepted:
          connections[event.slot] = Connection()
          receive(event.slot)
        case .received:
          received(event.slot, event.result)
        case .sent:
          sent(event.slot, event.result)
        case .connected:
          break
        }
      }
    }
  }

  /// Nothing but echoes of small messages is worth a big buffer's cache lines; those are taken in portions.
  private mutating func receive(_ slot: Int) {
    let buffer = sockets.receiveBuffer(slot)
    let count = connections[slot].state == .sinks ? buffer.count : 16_384
    sockets.receive(slot, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
  }

  private mutating func received(_ slot: Int, _ count: Int) {
    guard count > 0 else { return sockets.close(slot) }
    let bytes = UnsafeRawBufferPointer(rebasing: sockets.receiveBuffer(slot)[..<count])
    switch connections[slot].state {
    case .expectsRequest: begin(slot, bytes)
    case .echoes: sockets.send(slot, bytes)
    case .sinks: sink(slot, bytes)
    case .sources: connections[slot].stopIsWanted = true
    case .ends: sockets.close(slot)
    }
  }

  private mutating func begin(_ slot: Int, _ bytes: UnsafeRawBufferPointer) {
    // A load sends its request in one piece, and no proxy has a reason to cut it.
    guard bytes.count >= Request.byteCount, let purpose = Request.read(bytes) else {
      complain("a connection opened with \(bytes.count) bytes that are no request")
      return sockets.close(slot)
    }
    let rest = UnsafeRawBufferPointer(rebasing: bytes[Request.byteCount...])
    switch purpose {
    case .echo:
      connections[slot].state = .echoes
      if rest.isEmpty { receive(slot) } else { sockets.send(slot, rest) }
    case .answer:
      guard bytes.count == Answer.byteCount else {
        complain("a request to be repeated came as \(bytes.count) bytes")
        return sockets.close(slot)
      }
      connections[slot].state = .ends
      sockets.send(slot, bytes)
    case .sink:
      connections[slot].state = .sinks
      if rest.isEmpty { receive(slot) } else { sink(slot, rest) }
    case .source:
      connections[slot].state = .sources
      // What is behind the request is the word to stop, where a proxy had no turn for the stream before.
      connections[slot].stopIsWanted = !rest.isEmpty
      receive(slot)
      sendPieces(slot)
    }
  }

  private mutating func sink(_ slot: Int, _ bytes: UnsafeRawBufferPointer) {
    guard connections[slot].check.accept(bytes) else {
      complain("a stream broke after \(connections[slot].check.bytesReceived) bytes")
      return sockets.close(slot)
    }
    received?.add(bytes.count)
    guard connections[slot].check.isComplete else { return receive(slot) }
    connections[slot].state = .ends
    let receipt = sockets.sendBuffer(slot)
    receipt.storeBytes(of: connections[slot].check.piece, as: UInt64.self)
    sockets.send(slot, UnsafeRawBufferPointer(rebasing: receipt[..<Stream.receiptBytes]))
  }

  private mutating func sendPieces(_ slot: Int) {
    let buffer = sockets.sendBuffer(slot)
    if connections[slot].stopIsWanted {
      connections[slot].state = .ends
      Stream.writeEnd(after: connections[slot].piecesSent, to: buffer)
      return sockets.send(slot, UnsafeRawBufferPointer(rebasing: buffer[..<Stream.pieceBytes]))
    }
    Stream.number(buffer, from: connections[slot].piecesSent)
    connections[slot].piecesSent += UInt64(buffer.count / Stream.pieceBytes)
    sockets.send(slot, UnsafeRawBufferPointer(buffer))
  }

  private mutating func sent(_ slot: Int, _ count: Int) {
    guard count > 0 else { return sockets.close(slot) }
    switch connections[slot].state {
    case .echoes: receive(slot)
    case .sources: sendPieces(slot)
    // The origin closes first, as an HTTP server that says "Connection: close". That way the ports that wait out
    // TIME_WAIT are the origin's own, and the proxies never search for a free one.
    case .ends: sockets.close(slot)
    case .expectsRequest, .sinks: break
    }
  }

  private func complain(_ what: String) {
    let line = Array("sidecar-load origin: \(what)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }
}
