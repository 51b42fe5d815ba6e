// Reproducible random bytes at the speed of memory: parts of one random block, at seeded offsets.

/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014): small, and every
/// seed gives another stream.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// A stream of pieces of random size and content.
package struct RandomPieces: Sendable {
  /// The largest piece, and half of the block that pieces are taken from.
  package static let sizeMax = 1 << 20

  private static let block: [UInt64] = {
    var generator = SeededGenerator(seed: 0x5eed)
    return (0..<(2 * sizeMax / 8)).map { _ in generator.next() }
  }()

  private var generator: SeededGenerator
  private var rest: Int

  /// - Parameter total: bytes of all pieces together.
  package init(seed: UInt64, total: Int) {
    generator = SeededGenerator(seed: seed)
    rest = total
  }

  /// Hands out the next piece; false when all have been.
  package mutating func next(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows -> Bool {
    guard rest > 0 else { return false }
    // Evenly over the orders of magnitude from 1 byte to 1 MiB, so that small pieces are as frequent as large ones.
    let magnitude = Int.random(in: 0...20, using: &generator)
    let size = min(rest, Int.random(in: 1...(1 << magnitude), using: &generator))
    let offset = Int.random(in: 0..<Self.sizeMax, using: &generator)
    rest -= size
    try Self.block.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + size)])) }
    return true
  }
}
