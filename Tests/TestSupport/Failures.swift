// What can go wrong in the harness itself, and how a test waits for something without sleeping for a fixed time.

import Glibc

/// A system call that failed.
package struct SystemCallError: Error, CustomStringConvertible {
  package let call: String
  package let code: Int32

  /// Takes `errno` as it is now.
  package init(_ call: String) { self.init(call, code: errno) }

  package init(_ call: String, code: Int32) {
    self.call = call
    self.code = code
  }

  package var description: String { "\(call): \(String(cString: strerror(code)))" }
}

/// Something that a test relies on did not happen.
package struct HarnessError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// Looks at a condition again and again until it holds.
///
/// - Parameters:
///   - deadline: generous, because machines are shared; it is only ever reached by a failure.
///   - interval: between two looks, in milliseconds.
///   - what: what was awaited, for the error.
/// - Throws: `HarnessError` when the deadline has passed, and whatever the condition throws.
package func eventually(
  within deadline: Duration = .seconds(30), interval: UInt32 = 2, _ what: @autoclosure () -> String,
  _ condition: () throws -> Bool
) throws {
  let end = ContinuousClock.now + deadline
  while try !condition() {
    guard ContinuousClock.now < end else { throw HarnessError("not within \(deadline): \(what())") }
    // Between two looks, so that the looking doesn't take the processor from what is looked at.
    usleep(interval * 1_000)
  }
}

/// The first value that is not nil; see `eventually(within:_:_:)`.
package func awaitValue<Value>(
  within deadline: Duration = .seconds(30), _ what: @autoclosure () -> String, value: () throws -> Value?
) throws -> Value {
  var result: Value?
  try eventually(within: deadline, what()) {
    result = try value()
    return result != nil
  }
  // The condition above held.
  return result!
}
