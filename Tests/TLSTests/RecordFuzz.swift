// Goal: whatever happens to records on their way, and whatever a peer that has the keys puts into them, nothing traps, and
// what is opened is a beginning of what was sealed. Method: the input is a script: the client seals, the wire is changed,
// the server opens what there is of it.

import FuzzSupport
import Testing

@testable import ProxyCore

@Suite("Record fuzzer")
struct RecordFuzz {
  static let target = FuzzTarget("records", inputMax: 2_048) { input in
    var script = WireScript(input)
    let layers = Layers(suite: [0x1301, 0x1302, 0x1303][script.number(below: 3)])
    var sent: [UInt8] = []
    var opened: [UInt8] = []
    var isOver = false
    while !script.isOver, !isOver {
      switch script.number(below: 8) {
      case 0 where script.wire.count < 60_000:
        let bytes = (0..<script.number(below: 256) * 64).map { UInt8(truncatingIfNeeded: sent.count + $0) }
        sent += bytes
        script.wire += layers.client.seal(bytes)
      case 1:
        let inner = script.bytes(script.number(below: 64))
        guard !inner.isEmpty else { continue }
        // RFC 8446 section 5.4: the content type is the last byte that is not zero.
        if let end = inner.lastIndex(where: { $0 != 0 }), inner[end] == 23 { sent += inner[..<end] }
        script.wire += layers.client.seal(raw: inner)
      case 2:
        layers.client.update()
      case 3:
        isOver = open(script.deliver(), layers.server, &opened)
      default:
        script.changeWire()
      }
    }
    if !isOver { _ = open(script.wire, layers.server, &opened) }
    try expect(sent.starts(with: opened), "opened \(opened.count) bytes that are not those that were sealed")
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }

  /// - Returns: whether nothing more can be opened.
  private static func open(_ bytes: [UInt8], _ end: LayerEnd, _ opened: inout [UInt8]) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 100_000, alignment: 1) { area in
      var plaintext = OutputWindow(area)
      var (isOver, noRoom) = (false, OutputWindow())
      bytes.withUnsafeBytes { bytes in
        var input = InputWindow(bytes)
        let outcome = end.layer.pointee.open(
          &input, into: &plaintext, answeringIn: &noRoom, &end.engine.state.pointee.keySchedule,
          &end.engine.state.pointee.partials)
        isOver = outcome != .needsInput
      }
      opened += area.prefix(plaintext.count)
      return isOver
    }
  }
}

/// A fuzzer's input, read as what happens to the bytes on a wire.
struct WireScript {
  private var rest: Slice<UnsafeRawBufferPointer>
  /// What is on its way.
  var wire: [UInt8] = []

  init(_ input: UnsafeRawBufferPointer) { rest = input[...] }

  var isOver: Bool { rest.isEmpty }

  /// 0 when the script is over.
  mutating func number(below bound: Int) -> Int { Int(rest.popFirst() ?? 0) % bound }

  mutating func bytes(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  /// Takes some of what is on its way: all of it as often as not.
  mutating func deliver() -> [UInt8] {
    let count = number(below: 2) == 0 ? wire.count : min(wire.count, number(below: 256))
    defer { wire.removeFirst(count) }
    return Array(wire.prefix(count))
  }

  /// Changes, loses, doubles or adds a few bytes.
  mutating func changeWire() {
    let start = min(wire.count, number(below: 256))
    switch number(below: 4) {
    case 0 where start < wire.count: wire[start] ^= UInt8(1 << number(below: 8))
    case 1: wire.removeSubrange(start..<min(wire.count, start + number(below: 256)))
    case 2: wire.insert(contentsOf: wire[start..<min(wire.count, start + 100)], at: start)
    default: wire.insert(contentsOf: bytes(number(below: 32)), at: start)
    }
  }
}
