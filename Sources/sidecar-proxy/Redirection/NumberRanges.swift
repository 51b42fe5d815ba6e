// Lists of ports and user IDs as the flags of `init` write them: `8080,9000-9010`. Values, not text, go into the rules,
// so that nothing that a flag says can be anything else there.

/// Numbers from 0 to a bound, as ranges that neither overlap nor touch, in ascending order. nft(8) refuses a set in
/// which two intervals overlap.
struct NumberRanges: Equatable {
  private(set) var ranges: [ClosedRange<UInt32>] = []

  init(_ ranges: [ClosedRange<UInt32>] = []) {
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      // No bound reaches UInt32.max, so that the successor of an end exists.
      if let last = self.ranges.last, range.lowerBound <= last.upperBound + 1 {
        self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  /// Reads numbers and ranges of numbers, separated by commas; spaces around them don't matter.
  /// - Parameter bounds: what each number has to lie in.
  /// - Throws: the first part that is neither.
  init(_ text: String, within bounds: ClosedRange<UInt32>) throws(Problem) {
    precondition(bounds.upperBound < UInt32.max)
    var ranges: [ClosedRange<UInt32>] = []
    for part in commaSeparated(text) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
      let numbers = ends.map { Self.number($0).flatMap { bounds.contains($0) ? $0 : nil } }
      guard let first = numbers[0], let last = numbers[numbers.count - 1], first <= last else {
        throw Problem(part: part)
      }
      ranges.append(first...last)
    }
    self.init(ranges)
  }

  /// What is neither a number nor an ascending range within the bounds.
  struct Problem: Error {
    var part: String
  }

  var isEmpty: Bool { ranges.isEmpty }

  func contains(_ number: UInt32) -> Bool { ranges.contains { $0.contains(number) } }

  /// Decimal digits only: UInt32's own parser takes a sign as well.
  private static func number(_ text: Substring) -> UInt32? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      return nil
    }
    return UInt32(text)
  }
}

extension NumberRanges: CustomStringConvertible {
  /// As nft(8) writes the elements of a set: `80, 9000-9010`.
  var description: String {
    ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ", ")
  }
}

/// The parts of a list without the spaces around them. Two commas in a row have an empty part between them, which is a
/// mistake to be told.
func commaSeparated(_ text: String) -> [String] {
  text.split(separator: ",", omittingEmptySubsequences: false).map { part in
    let trimmed = part.drop { $0 == " " }
    return String(
      trimmed.prefix(upTo: trimmed.lastIndex { $0 != " " }.map(trimmed.index(after:)) ?? trimmed.startIndex))
  }
}
