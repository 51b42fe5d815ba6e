/// The beginning of a record that came without its end. Most records come whole and are opened where the kernel put them;
/// of the others, the beginning is kept here until the rest is there.

/// Up to one record, in a chunk that is borrowed while there is something to keep.
struct PartialRecord {
  private var chunk: UnsafeMutableRawPointer?
  private(set) var count = 0

  var isEmpty: Bool { chunk == nil }
  var start: UnsafePointer<UInt8>? { chunk.map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) } }

  /// Bytes of a chunk: the longest record.
  static var size: Int { RecordFormat.headerSize + RecordFormat.bodyMax }

  /// Takes up to `most` bytes from `input`, which is not empty. False when no chunk is left.
  mutating func append(_ input: inout InputWindow, most: Int, _ partials: inout ChunkPool) -> Bool {
    guard let chunk = chunk ?? partials.take(), let source = input.start else { return false }
    self.chunk = chunk
    let taken = min(most, input.count)
    precondition(count + taken <= Self.size, "more than a record")
    (chunk + count).copyMemory(from: source, byteCount: taken)
    count += taken
    input.advance(by: taken)
    return true
  }

  mutating func giveBack(_ partials: inout ChunkPool) {
    if let chunk { partials.giveBack(chunk) }
    chunk = nil
    count = 0
  }
}
