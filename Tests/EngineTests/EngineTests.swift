// Goal: the workers run on what was asked for; `auto` falls back and says why, a named engine never does.
// Method: the check of the host is played with each answer.

import Glibc
import IOUring
import ProxyCore
import Testing

@Suite struct EngineTests {
  private static let refusal = RingError(operation: "io_uring_setup", errno: ENOSYS)

  @Test func autoTakesIOUringWhereItWorks() throws {
    let choice = try Engine.select(.auto) { () throws(RingError) in }
    #expect(choice.engine == .ioUring && choice.fallbackReason == nil)
  }

  @Test func autoFallsBackWithTheReason() throws {
    let choice = try Engine.select(.auto) { () throws(RingError) in throw EngineTests.refusal }
    #expect(choice.engine == .epoll && choice.fallbackReason == EngineTests.refusal)
  }

  @Test func ioUringFailsWithTheReason() {
    #expect(throws: EngineTests.refusal) {
      try Engine.select(.ioUring) { () throws(RingError) in throw EngineTests.refusal }
    }
  }

  @Test func epollDoesNotTryIOUring() throws {
    let choice = try Engine.select(.epoll) { () throws(RingError) in throw EngineTests.refusal }
    #expect(choice.engine == .epoll && choice.fallbackReason == nil)
  }
}
