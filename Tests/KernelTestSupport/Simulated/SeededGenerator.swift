// The one source of chance in a simulation: the same seed, or the same script, gives the same numbers on every machine,
// and thereby the same run.

/// SplitMix64 (Steele, Lea and Flood, 2014), or a script: a fuzzer's input, whose bytes are the decisions.
public struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  /// While it lasts, it decides; all generators of a run share it.
  private let script: ChoiceScript?

  public init(seed: UInt64) {
    state = seed
    script = nil
  }

  public init(_ script: ChoiceScript) {
    state = 0
    self.script = script
  }

  /// The generator of a part of the run: its own numbers, whatever else the run draws.
  ///
  /// - Parameter salt: tells the parts apart. To be called before anything is drawn.
  public func part(_ salt: UInt64) -> SeededGenerator {
    script.map(SeededGenerator.init) ?? SeededGenerator(seed: state ^ salt)
  }

  /// A generator for something new that enters the run.
  public mutating func split() -> SeededGenerator {
    script.map(SeededGenerator.init) ?? SeededGenerator(seed: next())
  }

  /// Whether there was a script, and it is over.
  public var isExhausted: Bool { script?.isExhausted ?? false }

  public mutating func next() -> UInt64 {
    if let number = script?.take(byteCount: 8) { return number }
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// True once in `1 / probability` times.
  public mutating func chance(_ probability: Double) -> Bool {
    // Asks for no number where the answer is known, so that a fault that is switched off changes nothing else.
    guard probability > 0 else { return false }
    if let byte = script?.take(byteCount: 1) { return Double(byte) < probability * 0x100 }
    return Double(next() >> 11) < probability * 0x1p53
  }

  /// A number below `bound`, which is above zero.
  public mutating func below(_ bound: Int) -> Int {
    let byteCount = (Int.bitWidth - (bound - 1).leadingZeroBitCount + 7) / 8
    if let number = script?.take(byteCount: byteCount) { return Int(truncatingIfNeeded: number % UInt64(bound)) }
    return Int(truncatingIfNeeded: next() % UInt64(bound))
  }

  /// A number of the range, small ones and large ones equally likely by their order of magnitude.
  public mutating func magnitude(_ range: ClosedRange<Int>) -> Int {
    let span = range.upperBound - range.lowerBound
    guard span > 0 else { return range.lowerBound }
    let bits = below(Int.bitWidth - span.leadingZeroBitCount + 1)
    return range.lowerBound + min(span, below(1 << bits))
  }

  public mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}

/// The decisions of a run in the order in which they are asked for, so few bytes each that a fuzzer which changes one
/// changes little else.
public final class ChoiceScript {
  private var rest: ArraySlice<UInt8>

  public init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isExhausted: Bool { rest.isEmpty }

  /// The next bytes as a number; nil when there are none any more.
  func take(byteCount: Int) -> UInt64? {
    guard !rest.isEmpty else { return nil }
    defer { rest = rest.dropFirst(byteCount) }
    return rest.prefix(byteCount).reduce(0) { $0 << 8 | UInt64($1) }
  }
}
