// What a ring can't wait for. Whenever io_uring polls, for an operation of its own as well, it asks for POLLRDHUP besides
// (IO_POLL_UNMASK in io_uring/poll.c), which a socket has for good once its peer has finished. There a poll for hang-ups or
// for room to send completes at once, again and again, and a send that waits is given up to a thread of the kernel's
// (io-wq), which blocks in it and keeps the next one waiting: one half-closed client that doesn't read would hold up all
// others. epoll can leave POLLRDHUP out, so that these waits are those of an epoll kernel, whose own descriptor the ring polls.

import CIOUring
import Glibc

extension Ring {
  /// Marks the completions of the poll on the epoll descriptor.
  static var nestedToken: Token { Token(rawValue: .max) }

  /// An epoll kernel that waits for nothing to receive.
  static func makeNested() throws(RingError) -> Epoll {
    var options = EpollOptions()
    options.receiveBufferCount = 1
    options.receives = false
    return try Epoll(options: options)
  }

  mutating func submitNestedPoll(_ descriptor: Descriptor, for readiness: Readiness, token: Token) {
    nested.submitPoll(descriptor, for: readiness, token: token)
    nestedInFlight += 1
    watchNested()
  }

  @usableFromInline
  mutating func submitNestedSend(_ socket: Descriptor, _ bytes: UnsafeRawBufferPointer, token: Token) {
    nested.submitSend(socket, bytes, mode: .complete, token: token)
    nestedInFlight += 1
    watchNested()
  }

  /// Whether the token was that of an operation that waits here.
  mutating func cancelNested(_ target: Token, on descriptor: Descriptor) -> Bool {
    guard nestedInFlight > 0, nested.isWaiting(target, on: descriptor) else { return false }
    nested.submitCancel(target, on: descriptor)
    watchNested()
    return true
  }

  /// Makes the ring tell of what `nested` has to tell: completions that it has already, or events to come.
  private mutating func watchNested() {
    let hasCompletions = nested.hasCompletions
    guard hasCompletions || !isWatchingNested else { return }
    let entry = submissionEntry()
    if hasCompletions {
      io_uring_prep_nop(entry)
    } else {
      io_uring_prep_poll_add(entry, nested.epoll, UInt32(bitPattern: POLLIN))
      isWatchingNested = true
    }
    entry.pointee.user_data = Ring.nestedToken.rawValue
  }

  /// Something was told: opens the completions of `nested` to `nextOfNested`.
  mutating func takeNested(wasPoll: Bool) {
    if wasPoll { isWatchingNested = false }
    nested.wait(until: 0)
    nestedIsReady = true
  }

  @usableFromInline
  mutating func nextOfNested() -> Completion? {
    if let completion = nested.nextCompletion() {
      nestedInFlight -= 1
      return completion
    }
    nestedIsReady = false
    if nestedInFlight > 0 { watchNested() }
    return nil
  }

  public mutating func close(_ descriptor: Descriptor) {
    forget(descriptor)
    nested.close(descriptor)
  }
}
