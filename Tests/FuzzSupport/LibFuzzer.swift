// Hands a target to libFuzzer, in the build that `make fuzz` makes: instrumented, with AddressSanitizer, and linked with
// the fuzzer. In every other build the tests that call this are skipped.

import CLibFuzzer
import Glibc

/// The fuzzer that this process is to be, if it is to be one.
public enum LibFuzzer {
  /// The target that `FUZZ_TARGET` names; nil where none is, or where no fuzzer is linked.
  static let wanted: String? = fuzzsupport_is_linked() ? getenv("FUZZ_TARGET").map { String(cString: $0) } : nil

  /// libFuzzer takes a plain C function, which can hold no target: this is the one that it works on.
  nonisolated(unsafe) fileprivate static var target: FuzzTarget?
}

extension FuzzTarget {
  /// Whether this process is this target's fuzzer.
  public var isWanted: Bool { LibFuzzer.wanted == name }

  /// Fuzzes, with the options of `FUZZ_OPTIONS`, and exits the process: 0 when nothing was found.
  ///
  /// Inputs are read from the directories of `FUZZ_CORPORA`, and new ones go to the first of them. An input that is wrong
  /// goes into the corpus in the repository, where the next `make test` replays it.
  public func fuzz() {
    LibFuzzer.target = self
    // A merge starts this program again and again.
    let program = getenv("FUZZ_PROGRAM").map { String(cString: $0) } ?? "fuzz"
    var arguments = [program, "-max_len=\(inputMax)", "-artifact_prefix=\(corpusDirectory)/"]
    arguments += Self.words(of: "FUZZ_OPTIONS")
    let dictionary = "\(corpusDirectory).dict"
    if access(dictionary, R_OK) == 0 { arguments.append("-dict=\(dictionary)") }
    arguments += Self.words(of: "FUZZ_CORPORA")

    var cArguments = arguments.map { strdup($0) }
    var count = Int32(cArguments.count)
    cArguments.append(nil)
    cArguments.withUnsafeMutableBufferPointer { buffer in
      var start = buffer.baseAddress
      exit(fuzzsupport_run(&count, &start) { bytes, count in FuzzTarget.runOnce(bytes, count) })
    }
  }

  private static func runOnce(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    do {
      try LibFuzzer.target?.body(UnsafeRawBufferPointer(start: bytes, count: count))
    } catch {
      print("finding: \(error)")
      fflush(nil)
      // libFuzzer takes the signal, keeps the input and ends the process.
      abort()
    }
    return 0
  }

  private static func words(of variable: String) -> [String] {
    getenv(variable).map { String(cString: $0).split(separator: " ").map(String.init) } ?? []
  }
}
