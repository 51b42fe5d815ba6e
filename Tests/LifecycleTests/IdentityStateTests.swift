// Goal: the life cycle looks at the identity's files and at the clock when it should, and never without need. Method:
// the two machines without I/O, turned by hand.

import Testing

@testable import ProxyCore

@Suite("Patience with half-written files")
struct ReloadPatienceTests {
  private let second: UInt64 = 1_000_000_000

  @Test("Nothing to wait for at first")
  func idle() {
    var patience = ReloadPatience()
    #expect(patience.deadline == nil)
    #expect(patience.fire(now: .max) == false)
  }

  @Test("The first failure brings one more look, whose failure is the verdict")
  func oneMoreLook() {
    var patience = ReloadPatience()
    #expect(patience.failed(now: 10 * second, isLastLook: false) == false)
    #expect(patience.deadline == 11 * second)
    #expect(patience.fire(now: 11 * second - 1) == false)
    #expect(patience.fire(now: 11 * second) == true)
    #expect(patience.deadline == nil)
    #expect(patience.failed(now: 11 * second, isLastLook: true) == true)
    #expect(patience == ReloadPatience(), "an idle proxy doesn't look again and again")
  }

  @Test("Each further change puts the look off, up to a bound")
  func changing() {
    var patience = ReloadPatience()
    for now in 10..<15 { #expect(patience.failed(now: UInt64(now) * second, isLastLook: false) == false) }
    #expect(patience.deadline == 15 * second)
    #expect(patience.failed(now: 15 * second, isLastLook: false) == true)
    #expect(patience.deadline == nil)
    #expect(patience.failed(now: 16 * second, isLastLook: false) == false, "the next change has its own patience")
  }

  @Test("Files that time will mend are looked at when it has")
  func mendedByTime() {
    var patience = ReloadPatience()
    #expect(patience.failed(now: second, isLastLook: true) == true)
    patience.lookAgain(at: 60 * second)
    #expect(patience.deadline == 60 * second)
    #expect(patience.fire(now: 60 * second) == true)
    #expect(patience == ReloadPatience())
  }

  @Test("A reload that works ends the wait")
  func settled() {
    var patience = ReloadPatience()
    #expect(patience.failed(now: second, isLastLook: false) == false)
    patience.settle()
    #expect(patience.deadline == nil)
  }
}

@Suite("Expiry of our own certificate")
struct CertificateExpiryTests {
  @Test("A warning with a quarter left, an error at the end, each once")
  func stages() {
    var expiry = CertificateExpiry(notBefore: 1_000, notAfter: 5_000)
    #expect(expiry.nextAt == 4_000)
    #expect(expiry.advance(now: 3_999) == nil)
    #expect(expiry.advance(now: 4_000) == .nearing)
    #expect(expiry.advance(now: 4_500) == nil)
    #expect(expiry.nextAt == 5_000)
    #expect(expiry.advance(now: 5_000) == .expired)
    #expect(expiry.nextAt == nil)
    #expect(expiry.advance(now: 9_000) == nil)
  }

  @Test("A proxy that slept through the warning says the worst only")
  func lateLook() {
    var expiry = CertificateExpiry(notBefore: 0, notAfter: 100)
    #expect(expiry.advance(now: 200) == .expired)
    #expect(expiry.advance(now: 50) == nil, "a clock that is set back takes nothing back")
    #expect(expiry.advance(now: 200) == nil)
  }

  @Test("Dates that make no sense don't trap", arguments: [(Int64.min, Int64.max), (5, 1), (Int64.max, Int64.min)])
  func oddDates(notBefore: Int64, notAfter: Int64) {
    var expiry = CertificateExpiry(notBefore: notBefore, notAfter: notAfter)
    _ = expiry.advance(now: 0)
    _ = expiry.nextAt.map { Clocks.monotonicNanoseconds(at: $0, now: 0) }
  }
}
