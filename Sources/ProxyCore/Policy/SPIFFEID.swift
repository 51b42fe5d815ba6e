/// SPIFFE IDs: the names of workloads. The configuration reads them in patterns, `X509SVID` finds them in certificates,
/// `dev-certs` writes them.

/// A valid SPIFFE ID by the SPIFFE standard "SPIFFE-ID", section 2: `spiffe://trust-domain/path`.
public struct SPIFFEID: Sendable, Hashable {
  /// The whole URI. ASCII, and in one canonical form: two IDs are the same name when they are the same bytes.
  public let uri: String
  private let trustDomainEnd: Int

  /// Reads an ID; the error says what is wrong with it.
  public init(_ uri: String) throws(Violation) {
    var uri = uri
    switch uri.withUTF8({ Self.check(UnsafeRawBufferPointer($0)) }) {
    case .success(let end): trustDomainEnd = end
    case .failure(let violation): throw violation
    }
    self.uri = uri
  }

  /// The name of the trust domain: what stands between `spiffe://` and the path.
  public var trustDomain: Substring {
    Substring(uri.utf8.prefix(trustDomainEnd).dropFirst(Self.scheme.utf8CodeUnitCount))
  }

  /// The path with its leading slash; empty when the ID names the trust domain itself.
  public var path: Substring { Substring(uri.utf8.dropFirst(trustDomainEnd)) }

  /// What can be wrong with a would-be SPIFFE ID. The description is for operators.
  public enum Violation: String, Error, Sendable, CaseIterable, CustomStringConvertible {
    case tooLong = "is longer than 2048 bytes"
    case scheme = "does not begin with spiffe:// in lower case"
    case emptyTrustDomain = "has no trust domain"
    case trustDomainTooLong = "has a trust domain of more than 255 bytes"
    case trustDomainCharacter = "has a trust domain with something else than a-z, 0-9, '.', '-' and '_'"
    case trailingSlash = "ends with a slash"
    case emptySegment = "has an empty path segment"
    case dotSegment = "has '.' or '..' as a path segment"
    case pathCharacter = "has a path with something else than letters, digits, '.', '-', '_' and '/'"

    public var description: String { rawValue }
  }

  /// The longest ID that the standard allows, in bytes.
  public static let lengthMax = 2048

  static let trustDomainLengthMax = 255
  static let scheme: StaticString = "spiffe://"

  /// Checks the bytes of a URI without making anything of them. Total: any bytes give an answer, in one pass.
  ///
  /// Returns the number of bytes up to the end of the trust domain, where the path begins or the ID ends. There is no
  /// way to write a port, user information, a query, a fragment or an escape: their marks are not in the alphabet.
  static func check(_ bytes: UnsafeRawBufferPointer) -> Result<Int, Violation> {
    guard bytes.count <= lengthMax else { return .failure(.tooLong) }
    guard bytes.count >= scheme.utf8CodeUnitCount,
      scheme.withUTF8Buffer({ expected in expected.indices.allSatisfy { expected[$0] == bytes[$0] } })
    else { return .failure(.scheme) }

    let start = scheme.utf8CodeUnitCount
    var end = start
    while end < bytes.count, bytes[end] != UInt8(ascii: "/") {
      guard isTrustDomainByte(bytes[end]) else { return .failure(.trustDomainCharacter) }
      end += 1
    }
    guard end > start else { return .failure(.emptyTrustDomain) }
    guard end - start <= trustDomainLengthMax else { return .failure(.trustDomainTooLong) }

    var segmentStart = end
    while segmentStart < bytes.count {
      // Here is a slash, and a segment must follow it.
      var position = segmentStart + 1
      while position < bytes.count, bytes[position] != UInt8(ascii: "/") {
        guard isPathByte(bytes[position]) else { return .failure(.pathCharacter) }
        position += 1
      }
      let segment = bytes[(segmentStart + 1)..<position]
      if segment.isEmpty { return .failure(position == bytes.count ? .trailingSlash : .emptySegment) }
      if segment.count <= 2, segment.allSatisfy({ $0 == UInt8(ascii: ".") }) { return .failure(.dotSegment) }
      segmentStart = position
    }
    return .success(end)
  }

  /// SPIFFE-ID section 2.1.
  static func isTrustDomainByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
      UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default:
      false
    }
  }

  /// SPIFFE-ID section 2.2.
  static func isPathByte(_ byte: UInt8) -> Bool {
    isTrustDomainByte(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }
}

extension SPIFFEID: CustomStringConvertible {
  public var description: String { uri }
}
