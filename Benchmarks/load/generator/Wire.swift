// What the generator and its origin say to each other, so that each byte that a proxy loses, repeats or reorders is
// noticed. Used by the origin and by every load.
//
// A connection opens with a request of 16 bytes: a magic number and what the origin is to do. All numbers are in the
// machine's own byte order, since both ends are on one machine.

/// What a connection is for. The second word of a request.
enum Purpose: UInt64 {
  /// The origin returns what it receives.
  case echo = 1
  /// The origin returns one reply and closes.
  case answer = 2
  /// The client sends a stream; the origin checks it, returns a receipt and closes.
  case sink = 3
  /// The origin sends a stream until the client sends a byte, then ends the stream and closes.
  case source = 4
}

/// The opening of a connection.
enum Request {
  static let byteCount = 16
  static let magic: UInt64 = 0x6c6f_6164_2d76_3100

  static func write(_ purpose: Purpose, to bytes: UnsafeMutableRawBufferPointer) {
    bytes.storeBytes(of: magic, as: UInt64.self)
    bytes.storeBytes(of: purpose.rawValue, toByteOffset: 8, as: UInt64.self)
  }

  /// What a complete request asks for; nil if it isn't one.
  static func read(_ bytes: UnsafeRawBufferPointer) -> Purpose? {
    guard bytes.loadUnaligned(as: UInt64.self) == magic else { return nil }
    return Purpose(rawValue: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
  }
}

/// One request and one reply on a connection of their own.
enum Answer {
  static let byteCount = 64
}

/// A stream of bulk data: pieces of 4 KiB that are numbered in their first word. The last piece has no number but
/// `end`, and the number of pieces before it in the second word.
enum Stream {
  static let pieceBytes = 4_096
  static let end = UInt64.max
  /// What the origin returns for a stream that it received whole: the number of pieces before the last.
  static let receiptBytes = 8

  /// Numbers the pieces of a buffer, from `first`.
  static func number(_ bytes: UnsafeMutableRawBufferPointer, from first: UInt64) {
    var number = first
    for offset in stride(from: 0, to: bytes.count, by: pieceBytes) {
      bytes.storeBytes(of: number, toByteOffset: offset, as: UInt64.self)
      number += 1
    }
  }

  /// The last piece.
  static func writeEnd(after count: UInt64, to bytes: UnsafeMutableRawBufferPointer) {
    bytes.storeBytes(of: end, as: UInt64.self)
    bytes.storeBytes(of: count, toByteOffset: 8, as: UInt64.self)
  }
}

/// Checks a stream as it arrives, in whatever portions.
struct StreamCheck {
  /// Bytes that have arrived, the last piece included.
  private(set) var bytesReceived: UInt64 = 0
  /// The end has arrived, and says that the stream was whole.
  private var hasEnded = false
  /// The part of a word that the last portion ended in.
  private var word: UInt64 = 0
  private var endIsNext = false

  /// The stream was received whole, to the last byte of its last piece.
  var isComplete: Bool { hasEnded && bytesReceived % UInt64(Stream.pieceBytes) == 0 }
  /// Pieces before the one that arrived last.
  var piece: UInt64 { (bytesReceived - 1) / UInt64(Stream.pieceBytes) }

  /// Whether everything so far is as it was sent. Looks at two words of each 4 KiB, which costs next to nothing and
  /// finds any loss, repetition and reordering.
  mutating func accept(_ portion: UnsafeRawBufferPointer) -> Bool {
    var index = 0
    while index < portion.count {
      let offset = Int(bytesReceived % UInt64(Stream.pieceBytes))
      if offset >= 16 {
        let skipped = min(Stream.pieceBytes - offset, portion.count - index)
        bytesReceived += UInt64(skipped)
        index += skipped
        continue
      }
      if hasEnded { return false }
      if offset % 8 == 0, portion.count - index >= 8 {
        word = portion.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        bytesReceived += 8
        index += 8
      } else {
        word = word >> 8 | UInt64(portion[index]) << 56
        bytesReceived += 1
        index += 1
      }
      if bytesReceived % 8 == 0, !check() { return false }
    }
    return true
  }

  private mutating func check() -> Bool {
    if bytesReceived % UInt64(Stream.pieceBytes) == 8 {
      endIsNext = word == Stream.end
      return endIsNext || word == piece
    }
    if endIsNext { hasEnded = word == piece }
    return !endIsNext || hasEnded
  }
}
