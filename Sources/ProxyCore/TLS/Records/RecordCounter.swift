/// Counts the records that libssl reads or writes, by their headers, so that whoever takes over from it knows the sequence
/// number of the next one. libssl has no way to ask for it.

/// Records in a stream that comes in pieces of any size.
struct RecordCounter {
  /// Records of which at least the whole header has passed.
  private(set) var count: UInt64 = 0
  /// Bytes of a header that have passed, less than all.
  private var headerCount = 0
  private var bodySize = 0
  /// Bytes of the present record's body that are still to come.
  private var bodyLeft = 0

  /// Whether all records that began have passed whole.
  var isAtBoundary: Bool { headerCount == 0 && bodyLeft == 0 }

  mutating func pass(_ start: UnsafePointer<UInt8>?, count length: Int) {
    guard let start else { return }
    var position = 0
    while position < length {
      if bodyLeft > 0 {
        let passed = min(bodyLeft, length - position)
        bodyLeft -= passed
        position += passed
        continue
      }
      let byte = Int(start[position])
      if headerCount == 3 { bodySize = byte << 8 }
      if headerCount == 4 { bodySize |= byte }
      headerCount += 1
      position += 1
      if headerCount == RecordFormat.headerSize {
        count += 1
        headerCount = 0
        bodyLeft = bodySize
      }
    }
  }
}
