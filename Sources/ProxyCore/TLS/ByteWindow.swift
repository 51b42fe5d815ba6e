/// The two views of memory that TLS sessions work on. The worker makes them over buffers that it owns (a buffer that the
/// kernel filled, the send buffer) and passes them to the verbs of `TLSSession`, which move their cursors.

/// Bytes to read: a cursor that moves forward as they are taken. It owns nothing; the memory must outlive the call.
struct InputWindow {
  private(set) var start: UnsafePointer<UInt8>?
  private(set) var count: Int

  /// No bytes.
  init() {
    start = nil
    count = 0
  }

  init(_ bytes: UnsafeRawBufferPointer) {
    start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    count = bytes.count
  }

  var isEmpty: Bool { count == 0 }
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

  /// Moves the cursor over `length` bytes.
  mutating func advance(by length: Int) {
    precondition(length >= 0 && length <= count, "took more bytes than there are")
    start = start.map { $0 + length }
    count -= length
  }
}

/// Room to write: an area and how much of it is filled. It owns nothing; the memory must outlive the call.
struct OutputWindow {
  let start: UnsafeMutablePointer<UInt8>?
  let capacity: Int
  /// The bytes that are filled, from the start on.
  private(set) var count: Int

  /// No room at all: verbs that have something to say answer `needsOutput`.
  init() {
    start = nil
    capacity = 0
    count = 0
  }

  /// An area whose first `count` bytes are in use already and stay as they are.
  init(_ area: UnsafeMutableRawBufferPointer, count: Int = 0) {
    precondition(count >= 0 && count <= area.count)
    start = area.baseAddress?.assumingMemoryBound(to: UInt8.self)
    capacity = area.count
    self.count = count
  }

  /// How many bytes may still be written.
  var room: Int { capacity - count }

  /// Where the next byte goes.
  var end: UnsafeMutablePointer<UInt8>? { start.map { $0 + count } }

  /// The bytes that were filled after the first `position`.
  func bytes(from position: Int) -> UnsafeRawBufferPointer {
    precondition(position >= 0 && position <= count)
    return UnsafeRawBufferPointer(start: start.map { $0 + position }, count: count - position)
  }

  /// Counts `length` bytes that were written at `end`.
  mutating func fill(_ length: Int) {
    precondition(length >= 0 && length <= room, "wrote more bytes than there is room for")
    count += length
  }

  /// Copies bytes to the end; there is room for them.
  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, let end else { return }
    precondition(bytes.count <= room, "wrote more bytes than there is room for")
    UnsafeMutableRawPointer(end).copyMemory(from: source, byteCount: bytes.count)
    count += bytes.count
  }
}
