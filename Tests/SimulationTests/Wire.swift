// What lies between a party and its stream: nothing, or TLS. A party says and hears plain bytes either way.

import Glibc
import KernelTestSupport

@testable import ProxyCore

/// The verbs of a stream as a party uses them, with a stream's results.
protocol Wire: AnyObject {
  /// Carries on with whatever needs no party: a handshake, bytes that found no room.
  func carryOn()
  /// Bytes read, 0 at the end of the stream, or `-errno`.
  func read(into buffer: UnsafeMutableRawBufferPointer) -> Int
  /// Bytes taken, or `-errno`.
  func write(_ bytes: UnsafeRawBufferPointer) -> Int
  /// Half-closes: 0 or `-errno`.
  func finish() -> Int32
  /// Nothing is left that was written and is not with the stream.
  var isFlushed: Bool { get }
  /// The handshake is over, where there is one.
  var isProved: Bool { get }
  /// The stream has ended without saying that it is complete, which plain bytes can't say.
  var heardCut: Bool { get }
  /// Changes keys, where there are some.
  func updateKeys(askingPeer: Bool)
}

extension SimulatedStream: Wire {
  func carryOn() {}
  var isFlushed: Bool { true }
  var isProved: Bool { true }
  var heardCut: Bool { false }
  func updateKeys(askingPeer: Bool) {}
}

/// A party's own end of TLS, by the production session.
final class TLSWire: Wire {
  private var session: TLSSession
  /// Its engine outlives the session.
  private let mesh: SimulatedMesh
  private let stream: SimulatedStream
  /// Ciphertext that was received and not read, and that was written and not sent.
  private var incoming: [UInt8] = []
  private var outgoing: [UInt8] = []
  /// Plaintext that nobody has read: a record is opened only where there is room for all of it.
  private var opened: [UInt8] = []
  private(set) var isProved = false
  private var hasFailed = false
  /// A client speaks before it is spoken to.
  private var hasSpoken = false
  /// What the stream's reads have come to: 0, or `-errno`.
  private var streamEnd: Int?
  private var isFinishing = false
  private var isFinished = false

  /// As much may wait for the stream.
  private static let outgoingMax = 32_768
  private static let areaSize = 65_536

  init(_ context: TLSContext, _ role: TLSRole, on stream: SimulatedStream, mesh: SimulatedMesh, ticketKey: TicketKey?) {
    session = TLSSession(context, role: role, engine: mesh.engine, ticketKey: ticketKey)!
    self.mesh = mesh
    self.stream = stream
  }

  var isFlushed: Bool { outgoing.isEmpty && isFinishing == isFinished }

  var heardCut: Bool {
    isProved && !hasFailed && streamEnd == 0 && !stream.resetArrived && !session.endOfInputIsClean
  }

  func carryOn() {
    while true {
      flush()
      guard !isProved, !hasFailed, outgoing.isEmpty else { return }
      if incoming.isEmpty, !receive(), hasSpoken { return }
      shakeHands()
    }
  }

  private func shakeHands() {
    hasSpoken = true
    let waiting = incoming
    drive(waiting) { input, output in
      switch session.handshake(input: &input, output: &output) {
      case .complete: isProved = true
      case .failed: hasFailed = true
      case .needsInput, .needsOutput: break
      }
    }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    carryOn()
    guard isProved else { return hasFailed || streamEnd != nil ? -Int(ECONNRESET) : -Int(EAGAIN) }
    while true {
      if !opened.isEmpty {
        let count = min(opened.count, buffer.count)
        buffer.copyBytes(from: opened.prefix(count))
        opened.removeFirst(count)
        return count
      }
      if session.endOfInputIsClean { return 0 }
      if hasFailed { return -Int(ECONNRESET) }
      open()
      guard opened.isEmpty, !session.endOfInputIsClean, !hasFailed else { continue }
      // An end without close_notify is a stream that was cut.
      if !receive() { return streamEnd == nil ? -Int(EAGAIN) : -Int(ECONNRESET) }
    }
  }

  private func open() {
    withUnsafeTemporaryAllocation(byteCount: Self.areaSize, alignment: 1) { area in
      var plaintext = OutputWindow(area)
      drive(incoming) { input, output in
        if case .failed = session.decrypt(input: &input, plaintext: &plaintext, output: &output) { hasFailed = true }
      }
      opened += area.prefix(plaintext.count)
    }
    flush()
  }

  func write(_ bytes: UnsafeRawBufferPointer) -> Int {
    carryOn()
    guard !hasFailed else { return -Int(ECONNRESET) }
    guard isProved, outgoing.count < Self.outgoingMax else { return -Int(EAGAIN) }
    let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.outgoingMax))
    var taken = 0
    drive([]) { _, output in
      var plaintext = InputWindow(piece)
      if case .failed = session.encrypt(plaintext: &plaintext, output: &output) { hasFailed = true }
      taken = piece.count - plaintext.count
    }
    flush()
    return hasFailed ? -Int(ECONNRESET) : taken
  }

  func updateKeys(askingPeer: Bool) {
    guard isProved, !isFinishing else { return }
    session.updateKeys(askingPeer: askingPeer)
  }

  func finish() -> Int32 {
    guard !isFinishing else { return 0 }
    guard isProved, !hasFailed, !stream.resetArrived else { return -ENOTCONN }
    isFinishing = true
    drive([]) { _, output in _ = session.closeNotify(output: &output) }
    flush()
    return 0
  }

  // MARK: The stream

  /// Lets the session work on ciphertext, and keeps what it leaves of it and what it writes.
  private func drive(_ ciphertext: [UInt8], _ body: (inout InputWindow, inout OutputWindow) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: Self.areaSize, alignment: 16) { area in
      var output = OutputWindow(area)
      ciphertext.withUnsafeBytes { bytes in
        var input = InputWindow(bytes)
        body(&input, &output)
        if !bytes.isEmpty { incoming = Array(bytes.suffix(input.count)) }
      }
      outgoing += area.prefix(output.count)
    }
  }

  /// - Returns: whether something came.
  private func receive() -> Bool {
    withUnsafeTemporaryAllocation(byteCount: Self.areaSize, alignment: 1) { area in
      let count = stream.read(into: area)
      if count > 0 { incoming += area.prefix(count) } else if count != -Int(EAGAIN) { streamEnd = count }
      return count > 0
    }
  }

  private func flush() {
    while !outgoing.isEmpty {
      let count = outgoing.withUnsafeBytes { stream.write($0) }
      if count == -Int(EAGAIN) { return }
      guard count >= 0 else {
        outgoing = []
        break
      }
      outgoing.removeFirst(count)
    }
    if isFinishing, !isFinished {
      isFinished = true
      _ = stream.finish()
    }
  }
}
