/// Where a listener's connections go. The configuration parses it from `listeners[].target`; the accept path asks it
/// for addresses to connect to.

/// A DNS name and a port, resolved off the workers when a connection needs it.
public struct HostPort: Sendable, Hashable, CustomStringConvertible {
  /// The name in lower case, as RFC 1123 section 2.1 allows it, underscores as well; a final dot is kept, because
  /// it stops the resolver from appending search domains.
  public let host: String
  /// 1…65535.
  public let port: UInt16

  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  public var description: String { "\(host):\(port)" }

  /// Whether the text can be a host name: labels of 1…63 letters, digits, hyphens and underscores, 253 bytes in all.
  /// A name whose last label is a number is refused, because it is an IPv4 address with a mistake in it.
  static func isHostName(_ text: some StringProtocol) -> Bool {
    var name = Array(text.utf8)
    if name.last == UInt8(ascii: ".") { name.removeLast() }
    guard (1...253).contains(name.count) else { return false }
    let labels = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    let isLabel = { (label: ArraySlice<UInt8>) in
      (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
        && label.allSatisfy {
          switch $0 {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
          case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
          default: false
          }
        }
    }
    let isNumber = labels.last?.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? true
    return labels.allSatisfy(isLabel) && !isNumber
  }
}

/// Where a listener's connections go.
public enum Target: Sendable, Hashable {
  /// One fixed address.
  case address(SocketAddress)
  /// A name; all the addresses that it resolves to are tried.
  case name(HostPort)
  /// A Unix stream socket; the path is absolute and has at most `unixPathBytesMax` bytes.
  case unix(path: String)
  /// Where the connection was going before the pod's redirection rules steered it here (SO_ORIGINAL_DST).
  case originalDestination

  /// `sun_path` has 108 bytes, the last of which ends the string (unix(7)).
  public static let unixPathBytesMax = 107

  /// The port that is known before a connection is there: nil for a Unix socket and an original destination.
  public var port: UInt16? {
    switch self {
    case .address(let address): address.port
    case .name(let name): name.port
    case .unix, .originalDestination: nil
    }
  }
}

extension Target: CustomStringConvertible {
  /// The text that the configuration takes: `127.0.0.1:8080`, `app:8080`, `unix:/run/app.sock` or
  /// `original-destination`.
  public var description: String {
    switch self {
    case .address(let address): "\(address)"
    case .name(let name): "\(name)"
    case .unix(let path): "unix:\(path)"
    case .originalDestination: "original-destination"
    }
  }
}
