/// How addresses, targets and blocks are written, with an answer for each of the ways in which they are got wrong.

extension ValueSyntax<SocketAddress> {
  /// What a socket can be bound to, an address and a port, where other hosts may well connect to it.
  static let bind = bind(wildcard: "0.0.0.0")

  /// The same, where only the pod itself should connect to it: a wildcard is never suggested.
  static let localBind = bind(wildcard: nil)

  private static func bind(wildcard: String?) -> ValueSyntax {
    ValueSyntax(valueName: "address:port") { scalar throws(ValueProblem) in
      let expected = "an address and a port such as 127.0.0.1:15006 or \"[::1]:15006\""
      switch try Endpoint.parse(scalar.text, expected: expected, wildcard: wildcard) {
      case .address(let address):
        return address
      case .name(let name):
        throw ValueProblem(
          "\(quoted(name.host)) is a name", expected: expected,
          suggestion: name.host == "localhost" ? "127.0.0.1:\(name.port)" : nil)
      }
    } format: {
      $0.description
    }
  }
}

extension ValueSyntax<Target> {
  static let target = ValueSyntax(valueName: "target") { scalar throws(ValueProblem) in
    let text = scalar.text
    let expected = "host:port, unix:/path or original-destination"
    if text == "original-destination" { return .originalDestination }
    if text.hasPrefix("unix:") { return .unix(path: try unixPath(String(text.dropFirst("unix:".count)))) }
    if text.hasPrefix("/") {
      throw ValueProblem("\(quoted(text)) is not a target", expected: expected, suggestion: "unix:\(text)")
    }
    if suggestion(for: text, among: ["original-destination", "original-dst"]) != nil {
      throw ValueProblem("\(quoted(text)) is not a target", expected: expected, suggestion: "original-destination")
    }
    switch try Endpoint.parse(text, expected: expected, wildcard: nil) {
    case .name(let name):
      return .name(name)
    case .address(let address):
      guard address.ip.isUnspecified else { return .address(address) }
      let loopback = address.ip.family == .ipv4 ? IPAddress(v4: 0x7f00_0001) : IPAddress(v6: 1)
      throw ValueProblem(
        "\(address.ip) is an address to bind, not one to connect to", expected: expected,
        suggestion: SocketAddress(ip: loopback, port: address.port).yaml)
    }
  } format: {
    $0.description
  }

  private static func unixPath(_ path: String) throws(ValueProblem) -> String {
    let expected = "unix: and an absolute path such as unix:/run/app/app.sock"
    if path.hasPrefix("//") {
      throw ValueProblem(
        "\(quoted("unix:" + path)) has too many slashes", expected: expected,
        suggestion: "unix:/" + path.drop { $0 == "/" })
    }
    if path.hasPrefix("@") {
      throw ValueProblem(
        "abstract Unix sockets belong to a network namespace, not to a volume, and are not supported",
        expected: expected)
    }
    guard path.utf8.count <= Target.unixPathBytesMax else {
      throw ValueProblem(
        "the path of the Unix socket has \(path.utf8.count) bytes", expected: "at most \(Target.unixPathBytesMax)")
    }
    do throws(ValueProblem) {
      return try ValueSyntax<String>.path(example: "").parse(ScalarText(text: path, isPlain: true))
    } catch {
      throw ValueProblem(error.problem, expected: expected)
    }
  }
}

extension ValueSyntax<CIDR> {
  static let cidr = ValueSyntax(valueName: "block") { scalar throws(ValueProblem) in
    let text = scalar.text
    if let block = CIDR(text) { return block }
    let expected = "a block such as 10.0.0.0/8 or fd00::/8"
    if let address = IPAddress(text) {
      throw ValueProblem(
        "\(quoted(text)) has no prefix length", expected: expected, suggestion: "\(address)/\(address.family.bitCount)")
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(parts[0]) else {
      throw ValueProblem("\(quoted(text)) is not a block of addresses", expected: expected)
    }
    let bitCount = address.family.bitCount
    guard let length = Int(parts[1]), let block = CIDR(containing: address, prefixLength: length) else {
      throw ValueProblem("\(quoted(text)) has a wrong prefix length", expected: "0 to \(bitCount) after the /")
    }
    throw ValueProblem("\(quoted(text)) has bits set after its prefix", expected: expected, suggestion: "\(block)")
  } format: {
    $0.description
  }
}

/// A host and a port, as binds and targets begin.
enum Endpoint {
  case address(SocketAddress)
  case name(HostPort)

  /// Reads `1.2.3.4:80`, `[::1]:80` or `name:80`. `wildcard` is the address to offer, beside loopback, to somebody who
  /// wrote only a port.
  static func parse(_ text: String, expected: String, wildcard: String?) throws(ValueProblem) -> Endpoint {
    let problem = { (what: String, suggestion: String?) in
      ValueProblem(what, expected: expected, suggestion: suggestion)
    }
    if let scheme = text.firstRange(of: "://") {
      let rest = text[scheme.upperBound...].prefix { $0 != "/" }
      let meant = SocketAddress.split(rest) == nil ? nil : String(rest)
      throw problem("\(quoted(text)) is a URL", meant)
    }
    let isBareIPv6 = text.utf8.count(where: { $0 == UInt8(ascii: ":") }) > 1 && !text.hasPrefix("[")
    guard let colon = text.lastIndex(of: ":"), !isBareIPv6, text.last != "]" else {
      if isBareIPv6, let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
        let ip = IPAddress(text[..<colon]) ?? IPAddress(text[..<colon] + ":")
      {
        throw problem(
          "\(quoted(text)) has an IPv6 address without brackets", SocketAddress(ip: ip, port: port).yaml)
      }
      if let port = UInt16(text) { throw problem("\(quoted(text)) has no address", portOnly(port, wildcard)) }
      throw problem("\(quoted(text)) has no port", nil)
    }
    let (host, digits) = (text[..<colon], text[text.index(after: colon)...])
    guard !digits.isEmpty, digits.utf8.allSatisfy(\.isDigit) else {
      throw problem("\(quoted(text)) has no port", nil)
    }
    guard let port = UInt16(digits), port > 0 else {
      throw ValueProblem("port \(shortened(digits)) is out of range", expected: "1 to 65535")
    }
    if host.isEmpty { throw problem("\(quoted(text)) has no address", portOnly(port, wildcard)) }
    if host == "*" { throw problem("\(quoted(text)) has no address", wildcard.map { "\($0):\(port)" }) }
    if host.hasPrefix("[") { return .address(try bracketed(host, port: port, text: text, problem)) }
    if let ip = IPAddress(host) { return .address(SocketAddress(ip: ip, port: port)) }
    guard HostPort.isHostName(host) else {
      let isNumeric = host.utf8.allSatisfy { $0.isDigit || $0 == UInt8(ascii: ".") }
      throw problem("\(quoted(host)) is \(isNumeric ? "not an IPv4 address" : "neither an address nor a name")", nil)
    }
    return .name(HostPort(host: host.lowercased(), port: port))
  }

  private static func bracketed(
    _ host: Substring, port: UInt16, text: String, _ problem: (String, String?) -> ValueProblem
  ) throws(ValueProblem) -> SocketAddress {
    let inner = host.dropFirst().prefix { $0 != "]" }
    if inner.contains("%") { throw problem("\(quoted(text)) has a scope identifier, which is not supported", nil) }
    guard host.last == "]", inner.count == host.count - 2, let ip = IPAddress(inner) else {
      throw problem("\(quoted(host)) is not an IPv6 address in brackets", nil)
    }
    guard ip.family == .ipv6 else {
      throw problem("\(quoted(text)) has an IPv4 address in brackets", "\(SocketAddress(ip: ip, port: port))")
    }
    return SocketAddress(ip: ip, port: port)
  }

  private static func portOnly(_ port: UInt16, _ wildcard: String?) -> String {
    listed((wildcard.map { ["\($0):\(port)"] } ?? []) + ["127.0.0.1:\(port)"])
  }
}

extension SocketAddress {
  /// The address as it has to stand in a file: the brackets of IPv6 would begin a list.
  fileprivate var yaml: String { ip.family == .ipv4 ? description : "\"\(self)\"" }
}
