// Two record layers that share secrets of a test's own, without a handshake and without libssl; either can be in the hands
// of a peer that seals what it likes.

import COpenSSL
import Testing

@testable import ProxyCore

/// A record layer at each end, with secrets of the test's own.
struct Layers {
  let client: LayerEnd
  let server: LayerEnd

  init(suite: UInt16 = 0x1301, client clientSecret: String? = nil) {
    let digits = suite == 0x1302 ? 96 : 64
    let secrets = (
      clientSecret ?? String(repeating: "5a", count: digits / 2), String(repeating: "c3", count: digits / 2)
    )
    client = LayerEnd(.client, suite, secrets)
    server = LayerEnd(.server, suite, secrets)
  }
}

enum Opening: Equatable {
  case opened([UInt8])
  case closed
  case needsRoom
  /// The failure, and the alert that was written for the peer.
  case failed(TLSFailure, alert: Int32?)
}

final class LayerEnd {
  let layer: UnsafeMutablePointer<RecordLayer>
  let engine = TLSEngine(now: testNow, sessionsMax: 2)
  private let suite: UInt16

  init(_ role: TLSRole, _ suite: UInt16, _ secrets: (client: String, server: String)) {
    self.suite = suite
    layer = RecordLayer.make(role)
    let random = String(repeating: "00", count: 32)
    layer.pointee.learn(keyLogLine: "CLIENT_HANDSHAKE_TRAFFIC_SECRET \(random) \(secrets.server)")
    layer.pointee.learn(keyLogLine: "CLIENT_TRAFFIC_SECRET_0 \(random) \(secrets.client)")
    layer.pointee.learn(keyLogLine: "SERVER_TRAFFIC_SECRET_0 \(random) \(secrets.server)")
    layer.pointee.learn(keyLogLine: "EXPORTER_SECRET \(random) \(secrets.client)")
    let hasBegun = layer.pointee.begin(
      suite: suite, recordsRead: 0, recordsWritten: 0, &engine.state.pointee.keySchedule)
    #expect(hasBegun)
  }

  deinit { RecordLayer.destroy(layer, &engine.state.pointee.partials) }

  var partialsInUse: Int { engine.state.pointee.partials.usedCount }

  /// The records of some application data.
  func seal(_ bytes: [UInt8]) -> [UInt8] {
    output { output in
      bytes.withUnsafeBytes { bytes in
        var input = InputWindow(bytes)
        let outcome = layer.pointee.seal(&input, into: &output, &engine.state.pointee.keySchedule)
        #expect(outcome == .done)
      }
    }
  }

  /// One record with any content, type and padding, as a hostile peer would seal it.
  func seal(raw content: [UInt8]) -> [UInt8] {
    var record = [UInt8](repeating: 0, count: content.count + RecordFormat.overhead)
    let isSealed = layer.pointee.sealing.seal(inner: content, at: &record)
    #expect(isSealed)
    return Array(record[..<(RecordFormat.headerSize + content.count + RecordFormat.tagSize)])
  }

  /// Changes this end's sealing key without telling.
  func update() {
    let isUpdated = layer.pointee.sealing.update(.numbered(suite)!, &engine.state.pointee.keySchedule)
    #expect(isUpdated)
  }

  func open(_ bytes: [UInt8], room: Int = 100_000) -> Opening {
    var opened = [UInt8](repeating: 0, count: room)
    var outcome = TLSSession.DecryptOutcome.needsInput
    var count = 0
    let before = layer.pointee.sealing.sequence
    let alert = output { output in
      bytes.withUnsafeBytes { bytes in
        opened.withUnsafeMutableBytes { area in
          var input = InputWindow(bytes)
          var plaintext = OutputWindow(area)
          outcome = layer.pointee.open(
            &input, into: &plaintext, answeringIn: &output, &engine.state.pointee.keySchedule,
            &engine.state.pointee.partials)
          count = plaintext.count
        }
      }
    }
    switch outcome {
    case .needsInput: return .opened(Array(opened[..<count]))
    case .needsPlaintextRoom: return .needsRoom
    case .closed: return .closed
    case .failed(let failure): return .failed(failure, alert: describe(alert, before))
    case .needsOutput: fatalError("the record layer never asks for output")
    }
  }

  /// Opens the other role's close_notify.
  func open(closing role: TLSRole) -> Opening {
    let digits = String(repeating: "5a", count: 32)
    let other = LayerEnd(role, suite, (digits, String(repeating: "c3", count: 32)))
    return open(
      other.output { output in
        let isSealed = other.layer.pointee.closeNotify(&output)
        #expect(isSealed)
      })
  }

  /// What an alert of ours says, by opening it with the key that sealed it.
  private func describe(_ record: [UInt8], _ sequence: UInt64) -> Int32? {
    guard !record.isEmpty else { return nil }
    let reader = LayerEnd(
      layer.pointee.role == .server ? .client : .server, suite,
      (
        String(repeating: "5a", count: suite == 0x1302 ? 48 : 32),
        String(repeating: "c3", count: suite == 0x1302 ? 48 : 32)
      ))
    reader.layer.pointee.opening.sequence = sequence
    var content = [UInt8](repeating: 0, count: 100)
    let isOpened = reader.layer.pointee.opening.open(record, bodySize: record.count - 5, into: &content)
    #expect(isOpened && content[0] == 2 && content[2] == 21)
    return Int32(content[1])
  }

  private func output(_ body: (inout OutputWindow) -> Void) -> [UInt8] {
    var area = [UInt8](repeating: 0, count: 100_000)
    return area.withUnsafeMutableBytes { area in
      var output = OutputWindow(area)
      body(&output)
      #expect(ERR_peek_error() == 0, "an error was left in libcrypto's queue")
      return Array(output.bytes(from: 0))
    }
  }
}

extension RecordKey {
  /// Seals the last byte of `inner` as the content type, whatever it is, behind the rest.
  fileprivate mutating func seal(inner: [UInt8], at record: inout [UInt8]) -> Bool {
    record.withUnsafeMutableBufferPointer { record in
      inner.withUnsafeBufferPointer { inner in
        seal(inner.baseAddress, count: inner.count - 1, typeByte: inner[inner.count - 1], at: record.baseAddress!)
      }
    }
  }
}

func hex(_ digits: String) -> [UInt8] {
  let digits = Array(digits)
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0..<$0 + 2]), radix: 16)! }
}
