// The receive buffers that all sockets of a kernel share, so that an idle connection holds none, and the receive into them.
// Used by `Ring` and `Epoll`.

import CIOUring
import Glibc

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

  /// recv(2) into a free buffer, which is taken only if there are bytes.
  /// - Parameter isEnding: the peer is known to have finished.
  /// - Returns: nil if there is nothing to receive. Else bytes, 0 at end of stream, `-ENOBUFS` when no buffer is free, or
  ///   `-errno`; with bytes, the flags name the buffer, and say whether it was filled or these were the last bytes.
  mutating func receive(from socket: Int32, isEnding: Bool) -> (result: Int32, flags: Completion.Flags)? {
    guard freeCount > 0 else {
      // Only a socket that has something to read can be said to lack a buffer.
      let ready = sidecar_poll_now(socket, Int16(POLLIN | SIDECAR_POLLRDHUP))
      return ready == 0 ? nil : (ready < 0 ? ready : -ENOBUFS, [])
    }
    let buffer = BufferID(rawValue: free[freeCount - 1])
    let received = recv(socket, address(buffer), bufferSize, Int32(MSG_DONTWAIT))
    guard received > 0 else {
      let result = received < 0 ? -errno : 0
      return result == -EAGAIN ? nil : (result, [])
    }
    freeCount -= 1
    var flags = Completion.Flags(rawValue: UInt32(buffer.rawValue) << 16)
    flags.insert(.buffer)
    // A full buffer most likely left something behind; asking FIONREAD would cost a system call to know.
    if received == bufferSize {
      flags.insert(.socketNonEmpty)
    } else if isEnding, ReceiveBuffers.isAtEnd(socket) {
      flags.insert(.lastBytes)
    }
    return (Int32(truncatingIfNeeded: received), flags)
  }

  /// Whether the next receive would find the end of the stream. A short one doesn't say so: it stops at urgent data (RFC 9293
  /// section 3.8.5), and behind descriptors that came through a Unix socket (unix(7)). Asked once per connection and direction,
  /// and not inlined, so that other receives have no larger frame for it.
  @inline(never)
  private static func isAtEnd(_ socket: Int32) -> Bool {
    var next: UInt8 = 0
    return recv(socket, &next, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 0
  }

  mutating func giveBack(_ buffer: BufferID) {
    precondition(freeCount < count, "buffer \(buffer.rawValue) was given back twice")
    free[freeCount] = buffer.rawValue
    freeCount += 1
  }
}
