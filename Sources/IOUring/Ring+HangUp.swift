// Polls for hang-ups on a ring. IORING_OP_POLL_ADD always asks for POLLRDHUP as well (IO_POLL_UNMASK in
// io_uring/poll.c), and thus completes at once on a socket whose peer has finished: the very socket on which a reset
// would otherwise go unseen. epoll can leave POLLRDHUP out, so that these polls wait in an epoll kernel whose own
// descriptor the ring polls. Half-closed connections alone pay for it.

import CIOUring
import Glibc

extension Ring {
  /// Marks the completions of the poll on the epoll descriptor.
  static var hangUpToken: Token { Token(rawValue: .max) }

  /// An epoll kernel that only waits for hang-ups.
  static func makeHangUps() throws(RingError) -> Epoll {
    var options = EpollOptions()
    options.receiveBufferCount = 1
    return try Epoll(options: options)
  }

  mutating func submitHangUp(_ descriptor: Descriptor, token: Token) {
    hangUps.submitPoll(descriptor, for: .hangUp, token: token)
    hangUpsInFlight += 1
    watchHangUps()
  }

  /// Whether the token was that of a poll for hang-ups.
  mutating func cancelHangUp(_ target: Token, on descriptor: Descriptor) -> Bool {
    guard hangUpsInFlight > 0, hangUps.isWaiting(target, on: descriptor) else { return false }
    hangUps.submitCancel(target, on: descriptor)
    watchHangUps()
    return true
  }

  /// Makes the ring tell of what `hangUps` has to tell: completions that it has already, or events to come.
  private mutating func watchHangUps() {
    let hasCompletions = hangUps.hasCompletions
    guard hasCompletions || !isWatchingHangUps else { return }
    let entry = submissionEntry()
    if hasCompletions {
      io_uring_prep_nop(entry)
    } else {
      io_uring_prep_poll_add(entry, hangUps.epoll, UInt32(bitPattern: POLLIN))
      isWatchingHangUps = true
    }
    entry.pointee.user_data = Ring.hangUpToken.rawValue
  }

  /// Something was told: opens the completions of `hangUps` to `nextHangUp`.
  mutating func takeHangUps(wasPoll: Bool) {
    if wasPoll { isWatchingHangUps = false }
    hangUps.wait(until: 0)
    hangUpsAreReady = true
  }

  @usableFromInline
  mutating func nextHangUp() -> Completion? {
    if let completion = hangUps.nextCompletion() {
      hangUpsInFlight -= 1
      return completion
    }
    hangUpsAreReady = false
    if hangUpsInFlight > 0 { watchHangUps() }
    return nil
  }

  public mutating func close(_ descriptor: Descriptor) {
    forget(descriptor)
    hangUps.close(descriptor)
  }
}
