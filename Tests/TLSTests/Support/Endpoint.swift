// One end of a TLS connection in memory, for tests: it drives a real `TLSSession` over windows of the sizes that a test (or
// its generator) chooses, and checks after every call that libssl's error queue is empty.

import COpenSSL
import Testing

@testable import ProxyCore

/// A session with its engine, the ciphertext that it has written but nobody has taken, and the plaintext that it has read.
final class Endpoint {
  // In this order: the engine must outlive the session.
  var session: TLSSession
  let engine: TLSEngine
  /// Records that wait for the other end.
  var outbox: [UInt8] = []
  /// Ciphertext that arrived and that the session has not read.
  var inbox: [UInt8] = []
  var plaintext: [UInt8] = []
  var isComplete = false
  var isClosed = false
  var failure: TLSFailure?

  init(_ context: TLSContext, _ role: TLSRole, ticketKey: TicketKey? = nil, now: Int64 = testNow) {
    engine = TLSEngine(now: now, sessionsMax: 8)
    session = TLSSession(context, role: role, engine: engine, ticketKey: ticketKey)!
  }

  /// Begins another connection on the same engine, as a worker would.
  func reconnect(_ context: TLSContext, _ role: TLSRole, ticketKey: TicketKey? = nil) {
    session = TLSSession(context, role: role, engine: engine, ticketKey: ticketKey)!
    (outbox, inbox, plaintext) = ([], [], [])
    (isComplete, isClosed, failure) = (false, false, nil)
  }

  /// Lets the session work on the first `inputMax` bytes of its inbox, with this much room for its output and its
  /// plaintext. Returns whether anything moved.
  @discardableResult
  func step(inputMax: Int = .max, outputRoom: Int = 64 * 1024, plaintextRoom: Int = 64 * 1024) -> Bool {
    guard failure == nil, !isClosed else { return false }
    let wasComplete = isComplete
    let offered = Array(inbox.prefix(inputMax))
    var opened = [UInt8](repeating: 0, count: plaintextRoom)
    var (taken, openedCount) = (0, 0)
    let written = withOutput(outputRoom) { output in
      offered.withUnsafeBytes { bytes in
        var input = InputWindow(bytes)
        if !isComplete {
          switch session.handshake(input: &input, output: &output) {
          case .complete: isComplete = true
          case .needsInput, .needsOutput: break
          case .failed(let reason): failure = reason
          }
        } else {
          opened.withUnsafeMutableBytes { area in
            var plaintext = OutputWindow(area)
            switch session.decrypt(input: &input, plaintext: &plaintext, output: &output) {
            case .needsInput, .needsPlaintextRoom, .needsOutput: break
            case .closed: isClosed = true
            case .failed(let reason): failure = reason
            }
            openedCount = plaintext.count
          }
        }
        taken = bytes.count - input.count
      }
    }
    inbox.removeFirst(taken)
    plaintext += opened.prefix(openedCount)
    return taken > 0 || written > 0 || openedCount > 0 || isComplete != wasComplete || failure != nil || isClosed
  }

  /// Seals all of `bytes` into the outbox, through output windows of this size.
  func send(_ bytes: [UInt8], outputRoom: Int = 256 * 1024) {
    var rest = bytes[...]
    var isDone = false
    while !isDone, failure == nil {
      withOutput(outputRoom) { output in
        rest.withUnsafeBytes { raw in
          var input = InputWindow(raw)
          switch session.encrypt(plaintext: &input, output: &output) {
          case .done: isDone = true
          case .needsOutput: break
          case .failed(let reason): failure = reason
          }
          rest = rest.dropFirst(raw.count - input.count)
        }
      }
    }
  }

  func close() {
    withOutput(256) { output in
      let isSent = session.closeNotify(output: &output)
      #expect(isSent)
    }
  }

  // Plain copies: the macros of the testing library can't look into a value that can't be copied.
  var isResumed: Bool { session.agreement?.isResumed ?? false }
  var isMeshProtocol: Bool { session.agreement?.isMeshProtocol ?? false }
  /// Whether libssl has handed over to our own record layer.
  var ownsRecords: Bool { session.ssl == nil }
  var endOfInputIsClean: Bool { session.endOfInputIsClean }

  var peerURI: String? { session.peer.map { String(decoding: $0.uri, as: UTF8.self) } }

  /// Calls `body` with a window of `room` bytes, moves what it wrote to the outbox, and checks the error queue.
  @discardableResult
  private func withOutput(_ room: Int, _ body: (inout OutputWindow) -> Void) -> Int {
    let area = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
    defer { area.deallocate() }
    var output = OutputWindow(area)
    body(&output)
    outbox += UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(area)[..<output.count])
    #expect(ERR_peek_error() == 0, "an error was left in libssl's queue")
    ERR_clear_error()
    return output.count
  }
}

/// A client and a server and the wire between them.
struct Pair {
  let client: Endpoint
  let server: Endpoint

  init(client: Endpoint, server: Endpoint) {
    self.client = client
    self.server = server
  }

  init(_ clientContext: TLSContext, _ serverContext: TLSContext, ticketKey: TicketKey? = nil) {
    client = Endpoint(clientContext, .client, ticketKey: ticketKey)
    server = Endpoint(serverContext, .server)
  }

  /// Carries bytes to and fro until nothing moves any more.
  func run() {
    var isMoving = true
    while isMoving {
      carry()
      let clientMoved = client.step()
      carry()
      let serverMoved = server.step()
      isMoving = clientMoved || serverMoved || !client.outbox.isEmpty || !server.outbox.isEmpty
      if client.failure != nil || client.isClosed { client.inbox = [] }
      if server.failure != nil || server.isClosed { server.inbox = [] }
    }
  }

  /// Carries the handshake to its end on the client's side. The server has still to hear so.
  func runUntilClientIsComplete() {
    client.step()
    carryToServer()
    server.step()
    carryToClient()
    client.step()
  }

  /// Carries the handshake to its end on both sides; the ticket is left in the client's inbox.
  func runWithoutTicket() {
    runUntilClientIsComplete()
    carryToServer()
    server.step()
    carryToClient()
  }

  /// All that the client has said, at once.
  func carryToServer() { (server.inbox, client.outbox) = (client.outbox, []) }
  func carryToClient() { (client.inbox, server.outbox) = (server.outbox, []) }

  /// `run` in pieces of so many bytes.
  func run(pieces size: Int, outputRoom: Int = 64 * 1024) {
    var isMoving = true
    while isMoving {
      isMoving = false
      for (end, other) in [(client, server), (server, client)] {
        if !end.outbox.isEmpty {
          if other.failure == nil, !other.isClosed { other.inbox += end.outbox.prefix(size) }
          end.outbox.removeFirst(min(size, end.outbox.count))
          isMoving = true
        }
        if end.step(outputRoom: outputRoom) { isMoving = true }
      }
    }
  }

  /// The same in random pieces, from one byte to `chunkMax`, through windows of random sizes.
  func run(_ generator: inout SeededGenerator, chunkMax: Int) {
    var quietTurns = 0
    while quietTurns < 4 {
      var moved = false
      for (end, other) in [(client, server), (server, client)] {
        if !end.outbox.isEmpty {
          let count = min(end.outbox.count, Int.random(in: 1...chunkMax, using: &generator))
          if other.failure == nil, !other.isClosed { other.inbox += end.outbox.prefix(count) }
          end.outbox.removeFirst(count)
          moved = true
        }
        let inputMax = Int.random(in: 1...chunkMax, using: &generator)
        let outputRoom = Bool.random(using: &generator) ? 64 * 1024 : Int.random(in: 1...chunkMax, using: &generator)
        // Our record layer opens a record only when there is room for the longest one.
        let plaintextRoom = TLSSession.recordPlaintextMax + Int.random(in: 1...chunkMax, using: &generator)
        if end.step(inputMax: inputMax, outputRoom: outputRoom, plaintextRoom: plaintextRoom) { moved = true }
      }
      quietTurns = moved ? 0 : quietTurns + 1
    }
  }

  private func carry() {
    server.inbox += client.outbox
    client.outbox = []
    client.inbox += server.outbox
    server.outbox = []
  }
}

/// SplitMix64: a failing test prints its seed, and the seed replays it.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
