/// Matches peers' SPIFFE IDs against the principal patterns of `allow` and `mesh`. `AuthorizationPolicy` and `MeshRules` are
/// made of these when a configuration is loaded, and ask them at the end of each handshake.

import Glibc

/// One pattern, ready to match: a SPIFFE ID in which a path segment may be `*`, which is any one segment, and the last may
/// be `**`, which is one or more. The configuration has checked its syntax (`PrincipalPattern`).
///
/// Matching compares bytes, in one pass and without memory of its own. That is sound because a SPIFFE ID has one canonical
/// form: no escapes, no `.` and `..`, no empty segments (SPIFFE-ID section 2).
struct PrincipalMatcher: Sendable, Equatable {
  private let pattern: [UInt8]
  private let kind: Kind

  init(_ pattern: String) {
    let bytes = Array(pattern.utf8)
    let stars = bytes.count { $0 == Self.star }
    if stars == 0 {
      (self.pattern, kind) = (bytes, .exact)
    } else if stars == 2, bytes.suffix(3) == [Self.slash, Self.star, Self.star] {
      // The two stars go, the slash in front of them stays.
      (self.pattern, kind) = (bytes.dropLast(2), .prefix)
    } else {
      (self.pattern, kind) = (bytes, .segments)
    }
  }

  /// Whether a valid SPIFFE ID matches.
  func matches(_ id: UnsafeRawBufferPointer) -> Bool {
    pattern.withUnsafeBytes { pattern in
      switch kind {
      case .exact: id.count == pattern.count && Self.begins(id, with: pattern)
      case .prefix: id.count > pattern.count && Self.begins(id, with: pattern)
      case .segments: Self.matchSegments(id, pattern)
      }
    }
  }

  private static func begins(_ id: UnsafeRawBufferPointer, with prefix: UnsafeRawBufferPointer) -> Bool {
    guard let start = id.baseAddress, let expected = prefix.baseAddress, id.count >= prefix.count else { return false }
    return memcmp(start, expected, prefix.count) == 0
  }

  /// Walks along both, slash by slash; the scheme and the trust domain are segments like any others.
  private static func matchSegments(_ id: UnsafeRawBufferPointer, _ pattern: UnsafeRawBufferPointer) -> Bool {
    var (inID, inPattern) = (0, 0)
    while inPattern < pattern.count {
      let patternEnd = segmentEnd(pattern, from: inPattern)
      let isLast = patternEnd == pattern.count
      let isStar = patternEnd - inPattern == 1 && pattern[inPattern] == star
      if isLast, patternEnd - inPattern == 2, pattern[inPattern] == star, pattern[inPattern + 1] == star {
        return inID < id.count
      }
      guard inID < id.count else { return false }
      let idEnd = segmentEnd(id, from: inID)
      if !isStar {
        let expected = UnsafeRawBufferPointer(rebasing: pattern[inPattern..<patternEnd])
        let found = UnsafeRawBufferPointer(rebasing: id[inID..<idEnd])
        guard found.count == expected.count, found.isEmpty || begins(found, with: expected) else { return false }
      }
      if isLast { return idEnd == id.count }
      guard idEnd < id.count else { return false }
      (inID, inPattern) = (idEnd + 1, patternEnd + 1)
    }
    return false
  }

  private static func segmentEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
    var end = start
    while end < bytes.count, bytes[end] != slash { end += 1 }
    return end
  }

  private enum Kind: Sendable {
    case exact
    case prefix
    case segments
  }

  private static let star = UInt8(ascii: "*")
  private static let slash = UInt8(ascii: "/")
}
