// `sidecar-load bulk`: streams as fast as they go, in one direction, every piece numbered and checked.

import ArgumentParser

struct Bulk: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Bulk data on long streams, in one direction.")

  enum Direction: String, ExpressibleByArgument, CaseIterable { case up, down }

  @OptionGroup var window: WindowOptions

  @Option(help: "Streams, each on its own connection.")
  var streams = 1

  @Option(help: "up: from the client to the origin; down: the other way.")
  var direction = Direction.up

  @Option(help: "The file in which the origin counts; without it, what goes up counts as soon as it is sent.")
  var received: SharedCount?

  func run() throws {
    var load = try BulkLoad(streams, direction, window, received: direction == .up ? received : nil)
    try load.run()
  }
}

private struct BulkLoad: ~Copyable {
  private var sockets: Sockets
  private let streams: Int
  private let direction: Bulk.Direction
  private var window: Window
  private var states: [State]
  private var isStopping = false
  private var open: Int

  private struct State {
    var piecesSent: UInt64 = 0
    var hasStopped = false
    var check = StreamCheck()
    var receiptBytes = 0
  }

  /// Bytes that a stream has under way in one send or one receive.
  private static let bufferBytes = 262_144

  init(_ streams: Int, _ direction: Bulk.Direction, _ options: WindowOptions, received: SharedCount?) throws {
    var sockets = try Sockets(capacity: streams, bufferBytes: BulkLoad.bufferBytes)
    for _ in 0..<streams { try sockets.connect(sockets.takeSlot(), to: options.to) }
    self.sockets = sockets
    self.streams = streams
    self.direction = direction
    states = Array(repeating: State(), count: streams)
    open = streams
    window = Window(options, countedBy: received)
  }

  mutating func run() throws {
    while try window.goesOn() {
      sockets.wait(until: window.deadline)
      while let event = sockets.next() { try handle(event) }
    }
    isStopping = true
    if direction == .down { for slot in 0..<streams { stopSource(slot) } }
    let deadline = monotonicNanoseconds() + 10_000_000_000
    while open > 0 {
      sockets.wait(until: deadline)
      while let event = sockets.next() { try handle(event) }
      guard open == 0 || monotonicNanoseconds() < deadline else { throw LoadError("\(open) streams never ended") }
    }
    try window.report("bytes").print()
  }

  private mutating func handle(_ event: SocketEvent) throws {
    let slot = event.slot
    guard event.result >= 0 else { throw LoadError("\(event.kind): \(errorText(event.result))") }
    switch event.kind {
    case .connected:
      let request = UnsafeMutableRawBufferPointer(rebasing: sockets.sendBuffer(slot)[..<Request.byteCount])
      Request.write(direction == .up ? .sink : .source, to: request)
      sockets.send(slot, UnsafeRawBufferPointer(request))
      sockets.receive(slot, into: sockets.receiveBuffer(slot))
    case .sent where direction == .up:
      if states[slot].piecesSent > 0, !states[slot].hasStopped { window.add(event.result) }
      sendPieces(slot)
    case .received where event.result > 0:
      let bytes = UnsafeRawBufferPointer(rebasing: sockets.receiveBuffer(slot)[..<event.result])
      try direction == .up ? takeReceipt(slot, bytes) : takePieces(slot, bytes)
      sockets.receive(slot, into: sockets.receiveBuffer(slot))
    case .received:
      guard direction == .up ? states[slot].receiptBytes == Stream.receiptBytes : states[slot].check.isComplete else {
        throw LoadError("stream \(slot) was cut")
      }
      sockets.close(slot)
      open -= 1
    case .sent, .accepted:
      break
    }
  }

  private mutating func sendPieces(_ slot: Int) {
    let buffer = sockets.sendBuffer(slot)
    guard !states[slot].hasStopped else { return }
    if isStopping {
      states[slot].hasStopped = true
      Stream.writeEnd(after: states[slot].piecesSent, to: buffer)
      return sockets.send(slot, UnsafeRawBufferPointer(rebasing: buffer[..<Stream.pieceBytes]))
    }
    Stream.number(buffer, from: states[slot].piecesSent)
    states[slot].piecesSent += UInt64(buffer.count / Stream.pieceBytes)
    sockets.send(slot, UnsafeRawBufferPointer(buffer))
  }

  private mutating func stopSource(_ slot: Int) {
    sockets.send(slot, UnsafeRawBufferPointer(rebasing: sockets.sendBuffer(slot)[..<1]))
  }

  private mutating func takeReceipt(_ slot: Int, _ bytes: UnsafeRawBufferPointer) throws {
    guard states[slot].hasStopped, states[slot].receiptBytes == 0, bytes.count == Stream.receiptBytes,
      bytes.loadUnaligned(as: UInt64.self) == states[slot].piecesSent
    else { throw LoadError("the origin's receipt differs from what stream \(slot) sent") }
    states[slot].receiptBytes = bytes.count
  }

  private mutating func takePieces(_ slot: Int, _ bytes: UnsafeRawBufferPointer) throws {
    guard states[slot].check.accept(bytes) else {
      throw LoadError("stream \(slot) broke after \(states[slot].check.bytesReceived) bytes")
    }
    window.add(bytes.count)
  }
}
