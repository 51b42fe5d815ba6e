// The one source of chance in a simulation: the same seed gives the same numbers on every machine, and thereby the same
// run.

/// SplitMix64 (Steele, Lea and Flood, 2014).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// True once in `1 / probability` times.
  public mutating func chance(_ probability: Double) -> Bool {
    // Asks for no number where the answer is known, so that a fault that is switched off changes nothing else.
    probability > 0 && Double(next() >> 11) < probability * 0x1p53
  }

  /// A number below `bound`, which is above zero.
  public mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() % UInt64(bound)) }

  /// A number of the range, small ones and large ones equally likely by their order of magnitude.
  public mutating func magnitude(_ range: ClosedRange<Int>) -> Int {
    let span = range.upperBound - range.lowerBound
    guard span > 0 else { return range.lowerBound }
    let bits = below(Int.bitWidth - span.leadingZeroBitCount + 1)
    return range.lowerBound + min(span, below(1 << bits))
  }

  public mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}
