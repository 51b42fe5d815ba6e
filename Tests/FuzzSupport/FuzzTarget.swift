// What a fuzzer and its replay share: a target is a test that is given its input. `make test` gives it the inputs of its
// corpus, `make fuzz` those that libFuzzer makes of them. Each target stands beside the other tests of what it fuzzes.

/// A body that takes any bytes, and says what is wrong with what came of them. A trap, and what a sanitizer finds, are
/// findings by themselves.
public struct FuzzTarget: Sendable {
  /// The directory of its corpus, and what `make fuzz TARGETS=…` calls it.
  public let name: String
  /// Longer inputs would only be slower.
  let inputMax: Int
  let body: @Sendable (UnsafeRawBufferPointer) throws -> Void

  public init(_ name: String, inputMax: Int, body: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void) {
    self.name = name
    self.inputMax = inputMax
    self.body = body
  }

  /// Replays one input of the corpus. One that was found to be wrong stays in the corpus, as its regression test.
  public func replay(_ input: CorpusInput) throws {
    try input.bytes.withUnsafeBytes(body)
  }
}

/// Something that must not be.
public struct Finding: Error, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// Throws unless a condition holds. Cheaper than the testing library's macros, of which a fuzzer would run millions.
public func expect(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws(Finding) {
  guard condition else { throw Finding(otherwise()) }
}
