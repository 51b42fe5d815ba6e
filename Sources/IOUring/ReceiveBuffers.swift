// The receive buffers that all sockets of a kernel share, so that an idle connection holds none. Used by `Ring` and
// `Epoll`.

/// Buffers of one size, in one piece of address space that becomes resident as buffers are first used.
struct ReceiveBuffers: ~Copyable {
  let bufferSize: Int
  let count: Int
  private let memory: Reservation<UInt8>
  /// A stack of the buffers nobody holds: the one used last, whose bytes are in the cache, is taken first.
  private let free: UnsafeMutablePointer<UInt16>
  private var freeCount: Int

  /// - Parameters:
  ///   - bufferSize: bytes per buffer.
  ///   - count: how many, up to 65,536.
  init(bufferSize: Int, count: Int) throws(RingError) {
    precondition((1...65_536).contains(count), "buffer identifiers have 16 bits")
    memory = try Reservation(count: count * bufferSize)
    self.bufferSize = bufferSize
    self.count = count
    free = .allocate(capacity: count)
    for index in 0..<count { free[index] = UInt16(truncatingIfNeeded: count - 1 - index) }
    freeCount = count
  }

  deinit { free.deallocate() }

  func address(_ buffer: BufferID) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(memory.elements) + Int(buffer.rawValue) &* bufferSize
  }

  /// The buffer that the next receive would fill; nil when all are held.
  var next: BufferID? { freeCount > 0 ? BufferID(rawValue: free[freeCount - 1]) : nil }

  /// Takes `next`, which now holds bytes.
  mutating func take() { freeCount -= 1 }

  mutating func giveBack(_ buffer: BufferID) {
    precondition(freeCount < count, "buffer \(buffer.rawValue) was given back twice")
    free[freeCount] = buffer.rawValue
    freeCount += 1
  }
}
