/// "Did you mean": finds the word that a mistyped one was probably meant to be. The decoder asks it about unknown keys
/// and values, the overrides about unknown flags and environment variables.

/// The candidate nearest to `word`, or nil when none is near enough to be helpful.
///
/// Case, hyphens and underscores are ignored first (`half_close` is `halfClose`); after that, either the word is the
/// beginning of the other one, or a third of the longer one may be wrong. Words of more than 64 bytes have no suggestion, which bounds the work.
func suggestion(for word: String, among candidates: [String]) -> String? {
  let bytesMax = 64
  guard !word.isEmpty, word.utf8.count <= bytesMax else { return nil }
  let plain = plainLetters(word)
  var best: (candidate: String, distance: Int)?
  for candidate in candidates {
    let other = plainLetters(candidate)
    // The beginning of a word is the word: `warn` is `warning`.
    let isBeginning = plain.count >= 3 && other.starts(with: plain)
    let distance = isBeginning ? 1 : editDistance(plain, other)
    if distance <= max(plain.count, other.count) / 3, distance < best?.distance ?? .max {
      best = (candidate, distance)
    }
  }
  return best?.candidate
}

/// The bytes of a word in lower case and without `-` and `_`.
private func plainLetters(_ word: String) -> [UInt8] {
  word.utf8.compactMap { byte in
    switch byte {
    case UInt8(ascii: "-"), UInt8(ascii: "_"): nil
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
    default: byte
    }
  }
}

/// How many insertions, deletions, substitutions and swaps of neighbours turn one word into the other (the optimal
/// string alignment distance).
func editDistance(_ first: [UInt8], _ second: [UInt8]) -> Int {
  guard !first.isEmpty, !second.isEmpty else { return max(first.count, second.count) }
  var beforePrevious: [Int] = []
  var previous = Array(0...second.count)
  for row in 1...first.count {
    var current = [row]
    for column in 1...second.count {
      let isSame = first[row - 1] == second[column - 1]
      var distance = min(
        previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (isSame ? 0 : 1))
      if row > 1, column > 1, first[row - 1] == second[column - 2], first[row - 2] == second[column - 1] {
        distance = min(distance, beforePrevious[column - 2] + 1)
      }
      current.append(distance)
    }
    (beforePrevious, previous) = (previous, current)
  }
  return previous[second.count]
}
