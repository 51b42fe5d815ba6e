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
  /// - Returns: nil if there is nothing to receive. Else bytes, 0 at end of stream, `-ENOBUFS` when no buffer is free, or
  ///   `-errno`; with bytes, the flags name the buffer, and say whether it was filled.
  mutating func receive(from socket: Int32) -> (result: Int32, flags: Completion.Flags)? {
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
    if received == bufferSize { flags.insert(.socketNonEmpty) }
    return (Int32(truncatingIfNeeded: received), flags)
  }

  mutating func giveBack(_ buffer: BufferID) {
    precondition(freeCount < count, "buffer \(buffer.rawValue) was given back twice")
    free[freeCount] = buffer.rawValue
    freeCount += 1
  }
}
