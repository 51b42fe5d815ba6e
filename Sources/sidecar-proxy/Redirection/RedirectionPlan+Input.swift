// From the flags and environment variables of `init` to a plan, with every mistake at once.

import ProxyCore

/// What can be said about the redirection, by a flag or by an environment variable. The raw value is the flag's name.
enum RedirectionSetting: String, CaseIterable {
  case inboundPort = "inbound-port"
  case outboundPort = "outbound-port"
  case proxyUID = "proxy-uid"
  case inboundPorts = "inbound-ports"
  case outboundPorts = "outbound-ports"
  case excludeInboundPorts = "exclude-inbound-ports"
  case excludeInboundCIDRs = "exclude-inbound-cidrs"
  case excludeOutboundPorts = "exclude-outbound-ports"
  case excludeOutboundCIDRs = "exclude-outbound-cidrs"
  case excludeUIDs = "exclude-uids"

  var flag: String { "--\(rawValue)" }

  /// `SIDECAR_INIT_INBOUND_PORTS` for `--inbound-ports`.
  var variable: String {
    "SIDECAR_INIT_" + rawValue.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
  }
}

/// What is wrong with the settings, one line each.
struct RedirectionMistakes: Error, Equatable {
  var lines: [String]
}

extension RedirectionPlan {
  /// - Parameters:
  ///   - flags: what was given on the command line; it wins over the environment.
  ///   - environment: the process's variables; others than those of the settings are passed over.
  init(
    flags: [RedirectionSetting: String], environment: [(name: String, value: String)]
  ) throws(RedirectionMistakes) {
    self.init()
    var mistakes: [String] = []
    for setting in RedirectionSetting.allCases {
      let variable = environment.last { $0.name == setting.variable }
      guard let value = flags[setting] ?? variable?.value else { continue }
      do throws(Problem) {
        try apply(setting, value)
      } catch {
        let source = flags[setting] == nil ? setting.variable : setting.flag
        mistakes.append("\(source): \(error.description)")
      }
    }
    if mistakes.isEmpty { mistakes = contradictions }
    guard mistakes.isEmpty else { throw RedirectionMistakes(lines: mistakes) }
  }

  /// A value that can't be used, in words that follow the setting's name.
  private struct Problem: Error {
    var description: String

    init(_ description: String) { self.description = description }
  }

  /// The last port. Port 0 is never on the wire (RFC 6335 section 6).
  private static let portMax = UInt32(UInt16.max)
  /// The last user ID: the kernel takes 2^32 − 1 for "no user"; chown(2).
  private static let uidMax = UInt32.max - 1

  private mutating func apply(_ setting: RedirectionSetting, _ value: String) throws(Problem) {
    switch setting {
    case .inboundPort: inboundPort = try Self.port(value)
    case .outboundPort: outboundPort = try Self.port(value)
    case .proxyUID: proxyUID = try Self.proxyUID(value)
    case .inboundPorts: inboundPorts = try Self.selection(value)
    case .outboundPorts: outboundPorts = try Self.selection(value)
    case .excludeInboundPorts: excludedInboundPorts = try Self.ports(value)
    case .excludeOutboundPorts: excludedOutboundPorts = try Self.ports(value)
    case .excludeInboundCIDRs: excludedInboundCIDRs = try Self.blocks(value)
    case .excludeOutboundCIDRs: excludedOutboundCIDRs = try Self.blocks(value)
    case .excludeUIDs: excludedUIDs = try Self.uids(value)
    }
  }

  private static func port(_ value: String) throws(Problem) -> UInt16 {
    guard let ranges = try? NumberRanges(value, within: 1...portMax), ranges.ranges.count == 1,
      ranges.ranges[0].count == 1
    else { throw Problem("\(quoted(value)) is not a port; expected a number from 1 to 65535") }
    return UInt16(ranges.ranges[0].lowerBound)
  }

  private static func proxyUID(_ value: String) throws(Problem) -> UInt32 {
    guard let ranges = try? NumberRanges(value, within: 0...uidMax), ranges.ranges.count == 1,
      ranges.ranges[0].count == 1
    else { throw Problem("\(quoted(value)) is not a user ID; expected a number such as 1337") }
    guard ranges.ranges[0].lowerBound > 0 else {
      throw Problem("0 is root, whose connections would all bypass the sidecar; run the sidecar as a user of its own")
    }
    return ranges.ranges[0].lowerBound
  }

  private static func selection(_ value: String) throws(Problem) -> Ports {
    switch value {
    case "*": .all
    case "none": .only(NumberRanges())
    case "": throw Problem("is empty; expected *, none, or a list such as 8080,9000-9010")
    default: .only(try ports(value))
    }
  }

  private static func ports(_ value: String) throws(Problem) -> NumberRanges {
    if value.isEmpty { return NumberRanges() }
    do throws(NumberRanges.Problem) {
      return try NumberRanges(value, within: 1...portMax)
    } catch {
      throw Problem(
        "\(quoted(error.part)) is not a port; expected numbers from 1 to 65535 and ranges, such as 8080,9000-9010")
    }
  }

  private static func uids(_ value: String) throws(Problem) -> NumberRanges {
    if value.isEmpty { return NumberRanges() }
    do throws(NumberRanges.Problem) {
      return try NumberRanges(value, within: 0...uidMax)
    } catch {
      throw Problem("\(quoted(error.part)) is not a user ID; expected numbers and ranges, such as 1000,2000-2999")
    }
  }

  private static func blocks(_ value: String) throws(Problem) -> [CIDR] {
    if value.isEmpty { return [] }
    var blocks: [CIDR] = []
    for part in commaSeparated(value) { blocks.append(try block(part)) }
    return withoutOverlaps(blocks)
  }

  private static func block(_ text: String) throws(Problem) -> CIDR {
    if let block = CIDR(text) { return block }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    var suggestion = ""
    if let address = IPAddress(parts.first ?? "") {
      let length = parts.count == 1 ? address.family.bitCount : Int(parts[1])
      if parts.count <= 2, let length, let block = CIDR(containing: address, prefixLength: length) {
        suggestion = "; did you mean \(block)?"
      }
    }
    throw Problem("\(quoted(text)) is not a block; expected a list such as 10.0.0.0/8,fd00::/8\(suggestion)")
  }

  /// The same addresses in blocks of which none contains another, in ascending order: two prefixes either nest or have
  /// nothing in common.
  private static func withoutOverlaps(_ blocks: [CIDR]) -> [CIDR] {
    let widestFirst = blocks.sorted { $0.prefixLength < $1.prefixLength }
    var kept: [CIDR] = []
    for block in widestFirst where !kept.contains(where: { $0.contains(block.network) }) { kept.append(block) }
    return kept.sorted { ($0.network.family.rawValue, $0.network.bits) < ($1.network.family.rawValue, $1.network.bits) }
  }

  /// Settings that are right one by one and can't be meant together.
  private var contradictions: [String] {
    var lines: [String] = []
    if inboundPort == outboundPort {
      lines.append(
        "--inbound-port and --outbound-port are both \(inboundPort); each direction needs a listener of its own")
    }
    for (setting, port) in [(RedirectionSetting.inboundPort, inboundPort), (.outboundPort, outboundPort)]
    where Self.endpointPorts.contains(port) {
      lines.append("\(setting.flag) \(port): is the sidecar's port for control or metrics; choose another")
    }
    if case .only(let ports) = inboundPorts {
      for port in sidecarPorts.ranges.flatMap({ Array($0) }) where ports.contains(port) {
        lines.append(
          "--inbound-ports contains \(port), which is the sidecar's own and is never redirected; leave it out")
      }
    }
    return lines
  }
}

/// What somebody wrote, short enough for one line and with nothing in it that a terminal would act on.
private func quoted(_ text: String) -> String {
  let visible = text.prefix(60).unicodeScalars.map { (" "..."~").contains($0) ? String($0) : "?" }.joined()
  return "\"\(visible)\(text.count > 60 ? "…" : "")\""
}
