// `sidecar-load connect`: connections that live for one request and one reply.

import ArgumentParser
import Glibc

struct Connect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "New connections: connect, 64 bytes there and back, end; the origin closes first.")

  @OptionGroup var window: WindowOptions

  @Option(help: "Connections at the same time.")
  var concurrency = 16

  func run() throws {
    // A slot is free a turn after its connection ended, by which time its successor has taken another.
    var sockets = try Sockets(capacity: 2 * concurrency, bufferBytes: 4_096)
    var latency = Latency()
    var begunAt = [UInt64](repeating: 0, count: 2 * concurrency)
    var received = [Int](repeating: 0, count: 2 * concurrency)
    var window = Window(self.window)
    var isEnding = false
    var open = 0

    func begin() throws {
      let slot = sockets.takeSlot()
      begunAt[slot] = monotonicNanoseconds()
      received[slot] = 0
      open += 1
      try sockets.connect(slot, to: self.window.to)
    }

    func handle(_ event: SocketEvent) throws {
      let slot = event.slot
      guard event.result >= 0 else { throw LoadError("\(event.kind): \(errorText(event.result))") }
      switch event.kind {
      case .connected:
        let request = UnsafeMutableRawBufferPointer(rebasing: sockets.sendBuffer(slot)[..<Answer.byteCount])
        Request.write(.answer, to: request)
        // For the answer, which is the same bytes, to be another one each time.
        request.storeBytes(of: begunAt[slot], toByteOffset: Request.byteCount, as: UInt64.self)
        sockets.send(slot, UnsafeRawBufferPointer(request))
        sockets.receive(slot, into: sockets.receiveBuffer(slot))
      case .sent, .accepted:
        break
      case .received where event.result > 0:
        let (answer, expected) = (sockets.receiveBuffer(slot), sockets.sendBuffer(slot))
        guard received[slot] + event.result <= Answer.byteCount,
          memcmp(answer.baseAddress!, expected.baseAddress! + received[slot], event.result) == 0
        else { throw LoadError("an answer differs from the request that it should repeat") }
        received[slot] += event.result
        if received[slot] == Answer.byteCount, window.isMeasuring {
          latency.record(from: begunAt[slot], to: monotonicNanoseconds())
        }
        sockets.receive(slot, into: sockets.receiveBuffer(slot))
      case .received:
        guard received[slot] == Answer.byteCount else {
          throw LoadError("a connection ended after \(received[slot]) of \(Answer.byteCount) bytes")
        }
        sockets.close(slot)
        open -= 1
        window.add()
        if !isEnding { try begin() }
      }
    }

    for _ in 0..<concurrency { try begin() }
    while try window.goesOn() {
      sockets.wait(until: window.deadline)
      while let event = sockets.next() { try handle(event) }
    }
    isEnding = true
    let deadline = monotonicNanoseconds() + 5_000_000_000
    while open > 0 {
      sockets.wait(until: deadline)
      while let event = sockets.next() { try handle(event) }
      guard open == 0 || monotonicNanoseconds() < deadline else { throw LoadError("\(open) connections never ended") }
    }
    var line = try window.report("connections")
    line.add("latencyNanoseconds", raw: latency.json)
    line.print()
  }
}
