// Goal: operations and tokens survive packing, at both ends of every field. Method: all operations by hand.

import IOUring
import Testing

@testable import ProxyCore

@Suite struct OperationTests {
  private static let all: [ProxyCore.Operation] = [
    .receive(.toUpstream), .receive(.toDownstream), .send(.toUpstream), .send(.toDownstream),
    .pollSource(.toUpstream), .pollSource(.toDownstream), .pollSink(.toUpstream), .pollSink(.toDownstream),
    .watch(.downstream), .watch(.upstream), .connect, .accept, .mail,
  ]

  @Test("Each operation has bits of its own, which fit the set")
  func distinct() {
    #expect(Set(Self.all.map(\.rawValue)).count == Self.all.count)
    #expect(Self.all.allSatisfy { $0.rawValue < 16 })
  }

  @Test("Tokens carry slot, generation and operation, and are never zero")
  func tokens() {
    for slot in [UInt32(0), 1, 131_071, .max - 1, .max] {
      for generation in [UInt32(0), 1, 0xff_fffe, 0xff_ffff, 0x100_0000, .max] {
        for operation in Self.all {
          let token = Token(slot: slot, generation: generation, operation: operation)
          #expect(token.rawValue != 0)
          #expect(token.slot == slot)
          #expect(token.generation == generation & Token.generationMask)
          #expect(token.operation == operation)
        }
      }
    }
  }

  @Test("A generation that wraps around is told from its neighbours")
  func wrapAround() {
    let last = Token(slot: 7, generation: 0xff_ffff, operation: .connect)
    let wrapped = Token(slot: 7, generation: 0xff_ffff &+ 1, operation: .connect)
    #expect(last != wrapped)
    #expect(wrapped.generation == 0)
    #expect(Token(slot: 7, generation: .max &+ 1, operation: .connect) == wrapped)
  }

  @Test("Bits that no operation has lead nowhere")
  func unknown() {
    for rawValue in UInt8(16)...127 { #expect(ProxyCore.Operation(rawValue: rawValue).kind == nil) }
  }

  @Test("Directions and sides")
  func sides() {
    #expect(Direction.toUpstream.source == .downstream)
    #expect(Direction.toUpstream.sink == .upstream)
    #expect(Direction.toDownstream.source == .upstream)
    #expect(Direction.from(.downstream) == .toUpstream)
    #expect(Direction.from(.upstream) == .toDownstream)
    #expect(ProxyCore.Operation.watch(.upstream).side == .upstream)
    #expect(ProxyCore.Operation.send(.toDownstream).direction == .toDownstream)
  }

  @Test("A set gives back what went in, once each")
  func sets() {
    var set = OperationSet()
    for operation in Self.all { set.insert(operation) }
    set.remove(.mail)
    set.remove(.mail)
    #expect(!set.contains(.mail))
    var taken: [UInt8] = []
    while let operation = set.popFirst() { taken.append(operation.rawValue) }
    #expect(taken == Self.all.filter { $0 != .mail }.map(\.rawValue).sorted())
    #expect(set.isEmpty)
    #expect(set.popFirst() == nil)
  }
}

@Suite struct HalfPipeQueueTests {
  @Test("First in, first out, and a half-pipe in line counts as receiving")
  func order() {
    var table = ConnectionTable(capacity: 4)
    for _ in 0..<4 {
      guard let slot = table.take() else { return }
      table[slot].initialize(
        to: Connection(
          generation: 0, listener: ListenerID(rawValue: 0), downstream: .none, downstreamAddress: nil, now: 0))
    }
    var queue = HalfPipeQueue()
    let entries: [(UInt32, Direction)] = [(2, .toUpstream), (0, .toDownstream), (2, .toDownstream), (3, .toUpstream)]
    for round in 0..<2 {
      for (slot, direction) in entries { queue.append(slot, direction, in: table) }
      let marked = table[2].pointee.inFlight.contains(.receive(.toDownstream))
      #expect(marked, "round \(round)")
      for (slot, direction) in entries {
        let entry = queue.popFirst(in: table)
        #expect(entry?.slot == slot)
        #expect(entry?.direction == direction)
        let stillMarked = table[slot].pointee.inFlight.contains(.receive(direction))
        #expect(!stillMarked)
      }
      #expect(queue.isEmpty)
      #expect(queue.popFirst(in: table) == nil)
    }
  }
}

@Suite struct CloseReasonTests {
  @Test("Labels are unique, and fit a metric's label and a log's field")
  func labels() {
    let labels = CloseReason.allCases.map(\.label)
    #expect(Set(labels).count == labels.count)
    for label in labels { #expect(label.utf8.allSatisfy { $0 == 95 || (97...122).contains($0) }, "\(label)") }
  }

  @Test("Raw values count from zero: they are offsets into the metric block")
  func offsets() {
    #expect(CloseReason.allCases.map { Int($0.rawValue) } == Array(0..<CloseReason.allCases.count))
  }
}
