// Goal: whatever mix of operations a worker uses, a stream arrives as it was sent, and everything that was submitted
// completes. Method: pairs of sockets whose both ends belong to the kernel under test pump seeded random bytes, with
// seeded choices of operation, size, hint and cancellation. A failure names its seed; the arguments replay it.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@Suite struct StressTests {
  @Test(arguments: KernelKind.allCases, [1, 2, 3, 4, 5, 6] as [UInt64])
  func randomOperationsKeepTheStreamsWhole(kind: KernelKind, seed: UInt64) throws {
    let world = try World(kind, bufferSize: 4_096, buffers: 4)
    var generator = SeededGenerator(seed: seed)
    var pumps: [Pump] = []
    for index in 0..<6 {
      let (near, far) = try world.pair(index % 2 == 0 ? .tcp : .unix, smallBuffers: Bool.random(using: &generator))
      let other = try far.adopt()
      pumps.append(Pump(from: near, to: other, bytes: 60_000, generator: &generator))
      pumps.append(Pump(from: other, to: near, bytes: 60_000, generator: &generator))
    }
    while pumps.contains(where: { !$0.isDone }) {
      for index in pumps.indices { try pumps[index].advance(world, &generator) }
      world.turn(until: world.now + 1_000_000_000)
      for index in pumps.indices { try pumps[index].collect(world) }
    }
    for pump in pumps {
      #expect(pump.received == pump.bytes, "seed \(seed)")
      world.close(pump.source)
    }
    #expect(world.unclaimedCount == 0)
  }
}

/// One direction of one connection: a sender and a receiver with at most one operation each in flight.
private struct Pump {
  let source: Descriptor
  let sink: Descriptor
  let bytes: [UInt8]
  private(set) var received: [UInt8] = []
  private(set) var isDone = false

  private var sent = 0
  private var hasFinished = false
  private var sending: Operation?
  private var receiving: Operation?

  private struct Operation {
    var token: Token
    var kind: Kind
    var isCancelled = false

    enum Kind {
      case send, pollWritable, receiveProvided, pollReadable
      case receiveInto(UnsafeMutableRawBufferPointer)
    }
  }

  init(from source: Descriptor, to sink: Descriptor, bytes count: Int, generator: inout SeededGenerator) {
    self.source = source
    self.sink = sink
    bytes = pattern(count, seed: generator.next())
  }

  /// Submits what is not in flight, and now and then cancels what is.
  mutating func advance(_ world: World, _ generator: inout SeededGenerator) throws {
    if sending == nil && sent < bytes.count {
      if Int.random(in: 0..<8, using: &generator) == 0 {
        sending = Operation(token: world.poll(source, for: .writable), kind: .pollWritable)
      } else {
        let chunk = Array(bytes[sent...].prefix(Int.random(in: 1...20_000, using: &generator)))
        let mode: SendMode = Bool.random(using: &generator) ? .immediate : .complete
        sending = Operation(token: world.send(source, chunk, mode: mode), kind: .send)
      }
    } else if sent == bytes.count && !hasFinished {
      #expect(world.shutdown(source, .write) == 0)
      hasFinished = true
    }
    if receiving == nil && !isDone {
      switch Int.random(in: 0..<6, using: &generator) {
      case 0:
        receiving = Operation(token: world.poll(sink, for: .readable), kind: .pollReadable)
      case 1:
        let memory = world.allocate(Int.random(in: 1...6_000, using: &generator))
        receiving = Operation(token: world.receive(sink, into: memory), kind: .receiveInto(memory))
      default:
        let token = world.receive(sink, expectsData: Bool.random(using: &generator))
        receiving = Operation(token: token, kind: .receiveProvided)
      }
    }
    if Int.random(in: 0..<10, using: &generator) == 0 { Pump.cancel(&sending, world) }
    if Int.random(in: 0..<10, using: &generator) == 0 { Pump.cancel(&receiving, world) }
  }

  /// Takes what has completed.
  mutating func collect(_ world: World) throws {
    if let operation = sending, let completion = world.take(operation.token) {
      sending = nil
      switch operation.kind {
      case .send where completion.result >= 0: sent += Int(completion.result)
      case .pollWritable where completion.result > 0: break
      default:
        try #require(completion.result == -EAGAIN || (operation.isCancelled && completion.result == -ECANCELED))
      }
    }
    guard let operation = receiving, let completion = world.take(operation.token) else { return }
    receiving = nil
    switch (operation.kind, completion.result) {
    case (.receiveInto(let memory), 1...): received += memory.prefix(Int(completion.result))
    case (.receiveProvided, 1...): received += world.takeBytes(completion)
    case (.pollReadable, 1...): break
    case (_, 0): isDone = true
    case (.receiveProvided, -ENOBUFS), (.receiveInto, -EAGAIN): break
    default: try #require(operation.isCancelled && completion.result == -ECANCELED)
    }
  }

  private static func cancel(_ operation: inout Operation?, _ world: World) {
    guard let token = operation?.token else { return }
    operation?.isCancelled = true
    world.cancel(token)
  }
}
