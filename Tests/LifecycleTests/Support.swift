// What several tests of the life cycle share.

import Glibc

@testable import ProxyCore

/// Asks again until the answer is yes. The limit is for broken builds only: it is far beyond what any answer takes.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
  let deadline = Clocks.monotonicNanoseconds + 20_000_000_000
  while Clocks.monotonicNanoseconds < deadline {
    if try condition() { return true }
    // Lets the threads that are waited for run; two cores may be shared by many tests.
    usleep(2_000)
  }
  return false
}
