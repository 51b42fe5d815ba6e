// TLS by itself, both ends of it: a handshake, and a record on its way.

@testable internal import ProxyCore

/// One record sealed by one session and opened by another.
final class RecordSubject: Subject {
  // In this order: the ends must outlive their sessions.
  private var pair: TLSPair
  private let ends: TLSEnds
  private let plain: UnsafeMutableRawBufferPointer
  private let sealed: UnsafeMutableRawBufferPointer
  private let opened: UnsafeMutableRawBufferPointer

  init(recordBytes: Int) throws {
    ends = try TLSEnds()
    pair = ends.pair()
    plain = .allocate(byteCount: recordBytes, alignment: 64)
    plain.initializeMemory(as: UInt8.self, repeating: 7)
    sealed = .allocate(byteCount: 65_536, alignment: 64)
    opened = .allocate(byteCount: 65_536, alignment: 64)
    try super.init()
    pair.shakeHands(ends)
  }

  deinit {
    plain.deallocate()
    sealed.deallocate()
    opened.deallocate()
  }

  override func run(times: Int64) {
    for _ in 0..<times { carryRecord() }
  }

  /// From plaintext to plaintext.
  private func carryRecord() {
    var plaintext = InputWindow(UnsafeRawBufferPointer(plain))
    var output = OutputWindow(sealed)
    precondition(pair.client.encrypt(plaintext: &plaintext, output: &output) == .done)
    var input = InputWindow(UnsafeRawBufferPointer(rebasing: sealed[..<output.count]))
    var result = OutputWindow(opened)
    var answer = OutputWindow()
    precondition(pair.server.decrypt(input: &input, plaintext: &result, output: &answer) == .needsInput)
    precondition(result.count == plain.count)
  }
}

/// Both ends of a handshake, from making the two sessions to freeing them, ticket included. Either end has seen the other's
/// certificate before, as it has in a mesh.
final class HandshakeSubject: Subject {
  private let ends: TLSEnds
  private let ticketKey: TicketKey?

  init(isResumed: Bool) throws {
    ends = try TLSEnds()
    let destination = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 1)
    ticketKey = isResumed ? TicketKey(destination: destination, expectation: 0) : nil
    try super.init()
    var first = ends.pair(ticketKey: ticketKey)
    first.shakeHands(ends)
  }

  override func run(times: Int64) {
    for _ in 0..<times {
      var pair = ends.pair(ticketKey: ticketKey)
      pair.shakeHands(ends)
      precondition(pair.server.agreement?.isResumed == (ticketKey != nil))
    }
  }
}
