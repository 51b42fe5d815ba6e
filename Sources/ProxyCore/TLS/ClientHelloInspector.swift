/// Tells the mesh's TLS from everything else by a connection's first bytes. A permissive listener keeps what it receives and
/// asks here with all of it; whoever takes the connection gets it from the start.

/// Looks at a prefix of what a client sent. Stateless, since each look begins at the first byte. Total: any bytes
/// give an answer, in time proportional to the number of records and extensions.
enum ClientHelloInspector {
  enum Verdict: Equatable, Sendable {
    /// A ClientHello that offers our protocol: terminate it.
    case tlsWithOurALPN
    /// A ClientHello of somebody else's, or one that is broken: pass it through, the app knows better.
    case otherTLS
    /// Not TLS at all.
    case notTLS
    /// All of this could still be our ClientHello; wait for more, up to `timeouts.detect`.
    case needMoreBytes
  }

  /// The most bytes that are ever needed for a verdict other than `needMoreBytes`.
  static let bytesMax = 32 * 1024

  /// `protocolName` is the ALPN protocol without its length byte.
  static func inspect(_ bytes: UnsafeRawBufferPointer, protocolName: UnsafeRawBufferPointer) -> Verdict {
    var hello = HandshakeReader(bytes)
    let verdict: Verdict
    do throws(Interruption) {
      verdict = try find(protocolName, in: &hello) ? .tlsWithOurALPN : .otherTLS
    } catch {
      switch error {
      // A client that takes this many bytes for a hello of at most 16 KiB cuts it into crumbs, as ours never does.
      case .endOfBytes: verdict = bytes.count < bytesMax ? .needMoreBytes : .otherTLS
      case .notHandshake: verdict = hello.hasFirstRecord ? .otherTLS : .notTLS
      case .malformed: verdict = .otherTLS
      }
    }
    return verdict
  }

  /// Reads a ClientHello (RFC 8446 section 4.1.2) up to its ALPN extension (RFC 7301 section 3.1).
  private static func find(
    _ name: UnsafeRawBufferPointer, in hello: inout HandshakeReader
  ) throws(Interruption) -> Bool {
    guard try hello.integer(1) == clientHello else { throw .notHandshake }
    var body = try hello.integer(3)
    guard body <= helloSizeMax else { throw .malformed }

    try hello.skip(2 + 32, within: &body)  // legacy_version, random
    try hello.skip(hello.length(1, within: &body), within: &body)  // legacy_session_id
    try hello.skip(hello.length(2, within: &body), within: &body)  // cipher_suites
    try hello.skip(hello.length(1, within: &body), within: &body)  // legacy_compression_methods
    if body == 0 { return false }
    var extensions = try hello.length(2, within: &body)
    guard extensions <= body else { throw .malformed }

    while extensions > 0 {
      let kind = try hello.length(2, within: &extensions)
      var size = try hello.length(2, within: &extensions)
      guard size <= extensions else { throw .malformed }
      extensions -= size
      guard kind == applicationLayerProtocolNegotiation else {
        try hello.skip(size, within: &size)
        continue
      }
      var list = try hello.length(2, within: &size)
      guard list == size else { throw .malformed }
      while list > 0 {
        let length = try hello.length(1, within: &list)
        guard length > 0, length <= list else { throw .malformed }
        list -= length
        if try hello.equals(name, count: length) { return true }
      }
    }
    return false
  }

  private static let clientHello = 1
  private static let applicationLayerProtocolNegotiation = 16
  /// The longest hello that is ours, in bytes, and the longest one that a server of ours reads. Those in use have some
  /// hundred bytes, and about two thousand with a post-quantum key share.
  static let helloSizeMax = 16 * 1024
}

/// Why a hello can't be read to its end.
private enum Interruption: Error {
  case endOfBytes
  case notHandshake
  case malformed
}

/// A cursor over the handshake bytes inside of plaintext records; a message may span records (RFC 8446 section 5.1).
private struct HandshakeReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  /// How many bytes of the current record's content are left.
  private var recordRest = 0
  /// Whether one whole record header was read, so that this is TLS, whatever else is wrong with it.
  private(set) var hasFirstRecord = false

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  /// The next big-endian number of this many bytes.
  mutating func integer(_ size: Int) throws(Interruption) -> Int {
    var value = 0
    for _ in 0..<size { value = try value << 8 | Int(byte()) }
    return value
  }

  /// The same, counted against the bytes that are left in what surrounds it.
  mutating func length(_ size: Int, within rest: inout Int) throws(Interruption) -> Int {
    guard rest >= size else { throw .malformed }
    rest -= size
    return try integer(size)
  }

  mutating func skip(_ count: Int, within rest: inout Int) throws(Interruption) {
    guard count <= rest else { throw .malformed }
    rest -= count
    var left = count
    while left > 0 {
      try enterRecord()
      let step = min(left, recordRest, bytes.count - position)
      guard step > 0 else { throw .endOfBytes }
      (position, recordRest, left) = (position + step, recordRest - step, left - step)
    }
  }

  /// Reads `count` bytes and says whether they are these.
  mutating func equals(_ name: UnsafeRawBufferPointer, count: Int) throws(Interruption) -> Bool {
    var isEqual = count == name.count
    for index in 0..<count {
      let byte = try byte()
      if isEqual, byte != name[index] { isEqual = false }
    }
    return isEqual
  }

  private mutating func byte() throws(Interruption) -> UInt8 {
    try enterRecord()
    guard position < bytes.count else { throw .endOfBytes }
    defer { (position, recordRest) = (position + 1, recordRest - 1) }
    return bytes[position]
  }

  /// Reads the next record's header when the current record is used up. Each of its bytes is judged as soon as it is
  /// there, so that plain text is known by its first byte.
  private mutating func enterRecord() throws(Interruption) {
    guard recordRest == 0 else { return }
    let header = bytes[position...].prefix(5)
    for (index, byte) in header.enumerated() {
      switch index {
      case 0 where byte != Self.handshake, 1 where byte != 3, 2 where byte > 4: throw .notHandshake
      default: break
      }
    }
    guard header.count == 5 else { throw .endOfBytes }
    let length = Int(header[position + 3]) << 8 | Int(header[position + 4])
    // Handshake records are never empty, and plaintext ones hold at most 2^14 bytes (RFC 8446 section 5.1).
    guard (1...16_384).contains(length) else { throw .notHandshake }
    hasFirstRecord = true
    position += 5
    recordRest = length
  }

  private static let handshake: UInt8 = 22
}
