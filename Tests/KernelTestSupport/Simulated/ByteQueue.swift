// A bounded queue of bytes: what a socket's buffer or a pipe holds.

/// First in, first out; its memory is a ring.
struct ByteQueue: ~Copyable {
  let capacity: Int
  private(set) var count = 0
  private let memory: UnsafeMutableRawPointer
  private var head = 0

  init(capacity: Int) {
    self.capacity = capacity
    memory = .allocate(byteCount: capacity, alignment: 1)
  }

  deinit { memory.deallocate() }

  var room: Int { capacity - count }

  /// Takes as many bytes as there is room for.
  mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int {
    let accepted = min(bytes.count, room)
    guard accepted > 0 else { return 0 }
    let tail = (head + count) % capacity
    let first = min(accepted, capacity - tail)
    (memory + tail).copyMemory(from: bytes.baseAddress!, byteCount: first)
    memory.copyMemory(from: bytes.baseAddress! + first, byteCount: accepted - first)
    count += accepted
    return accepted
  }

  /// Moves at most `buffer.count` bytes out.
  mutating func remove(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let removed = min(buffer.count, count)
    guard removed > 0 else { return 0 }
    let first = min(removed, capacity - head)
    buffer.baseAddress!.copyMemory(from: memory + head, byteCount: first)
    (buffer.baseAddress! + first).copyMemory(from: memory, byteCount: removed - first)
    head = (head + removed) % capacity
    count -= removed
    return removed
  }

  /// Drops the newest bytes.
  mutating func truncate(to length: Int) { count = min(count, length) }
}
