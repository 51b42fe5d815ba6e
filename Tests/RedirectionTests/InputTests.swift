// Goal: nothing gets into the rules that isn't a number or a block of addresses, and whoever writes something else is
// told what is wrong with it.
// Method: a table of wrong settings with their messages, and random bytes.

import Testing

@testable import sidecar_proxy

@Suite("Redirection settings")
struct InputTests {
  struct Wrong: Sendable, CustomTestStringConvertible {
    var setting: RedirectionSetting
    var value: String
    var message: String

    init(_ setting: RedirectionSetting, _ value: String, _ message: String) {
      self.setting = setting
      self.value = value
      self.message = message
    }

    var testDescription: String { "\(setting.flag) \(value)" }
  }

  private static let portList = "is not a port; expected numbers from 1 to 65535 and ranges, such as 8080,9000-9010"
  private static let uidList = "is not a user ID; expected numbers and ranges, such as 1000,2000-2999"
  private static let blockList = "is not a block; expected a list such as 10.0.0.0/8,fd00::/8"

  static let wrong: [Wrong] = [
    .init(.inboundPorts, "80; flush ruleset", "\"80; flush ruleset\" \(portList)"),
    .init(.inboundPorts, "80 } accept; tcp dport { 81", "\"80 } accept; tcp dport { 81\" \(portList)"),
    .init(.inboundPorts, "80\n81", "\"80?81\" \(portList)"),
    .init(.inboundPorts, "", "is empty; expected *, none, or a list such as 8080,9000-9010"),
    .init(.inboundPorts, "all", "\"all\" \(portList)"),
    .init(.inboundPorts, "80,,81", "\"\" \(portList)"),
    .init(.inboundPorts, "80,", "\"\" \(portList)"),
    .init(.inboundPorts, "*,80", "\"*\" \(portList)"),
    .init(.outboundPorts, "0", "\"0\" \(portList)"),
    .init(.outboundPorts, "65536", "\"65536\" \(portList)"),
    .init(.outboundPorts, "90-80", "\"90-80\" \(portList)"),
    .init(.outboundPorts, "80-", "\"80-\" \(portList)"),
    .init(.outboundPorts, "80-90-100", "\"80-90-100\" \(portList)"),
    .init(.excludeInboundPorts, "-1", "\"-1\" \(portList)"),
    .init(.excludeInboundPorts, "+80", "\"+80\" \(portList)"),
    .init(.excludeInboundPorts, "٣", "\"?\" \(portList)"),
    .init(.excludeOutboundPorts, "http", "\"http\" \(portList)"),
    .init(.excludeOutboundPorts, "99999999999999999999", "\"99999999999999999999\" \(portList)"),
    .init(.excludeUIDs, "root", "\"root\" \(uidList)"),
    .init(.excludeUIDs, "4294967295", "\"4294967295\" \(uidList)"),
    .init(
      .proxyUID, "0", "0 is root, whose connections would all bypass the sidecar; run the sidecar as a user of its own"),
    .init(.proxyUID, "1337-1338", "\"1337-1338\" is not a user ID; expected a number such as 1337"),
    .init(.proxyUID, "", "\"\" is not a user ID; expected a number such as 1337"),
    .init(.inboundPort, "15006,15007", "\"15006,15007\" is not a port; expected a number from 1 to 65535"),
    .init(.outboundPort, "", "\"\" is not a port; expected a number from 1 to 65535"),
    .init(.excludeInboundCIDRs, "10.0.0.1", "\"10.0.0.1\" \(blockList); did you mean 10.0.0.1/32?"),
    .init(.excludeInboundCIDRs, "10.0.0.1/8", "\"10.0.0.1/8\" \(blockList); did you mean 10.0.0.0/8?"),
    .init(.excludeInboundCIDRs, "10.0.0.0/33", "\"10.0.0.0/33\" \(blockList)"),
    .init(.excludeOutboundCIDRs, "fd00::1/8", "\"fd00::1/8\" \(blockList); did you mean fd00::/8?"),
    .init(.excludeOutboundCIDRs, "fe80::1%eth0/64", "\"fe80::1%eth0/64\" \(blockList)"),
    .init(.excludeOutboundCIDRs, "10.0.0.0/8 } accept", "\"10.0.0.0/8 } accept\" \(blockList)"),
    .init(.excludeOutboundCIDRs, "example.org", "\"example.org\" \(blockList)"),
  ]

  @Test("A wrong value is refused in its own words", arguments: wrong)
  func refused(_ wrong: Wrong) {
    #expect(throws: RedirectionMistakes(lines: ["\(wrong.setting.flag): \(wrong.message)"])) {
      _ = try RedirectionPlan(flags: [wrong.setting: wrong.value], environment: [])
    }
  }

  @Test("What can't be meant together is refused")
  func contradictions() {
    let cases: [([RedirectionSetting: String], String)] = [
      (
        [.inboundPort: "15001"],
        "--inbound-port and --outbound-port are both 15001; each direction needs a listener of its own"
      ),
      ([.outboundPort: "15020"], "--outbound-port 15020: is the sidecar's port for control or metrics; choose another"),
      (
        [.inboundPorts: "8080,15006"],
        "--inbound-ports contains 15006, which is the sidecar's own and is never redirected; leave it out"
      ),
    ]
    for (flags, line) in cases {
      #expect(throws: RedirectionMistakes(lines: [line])) { _ = try RedirectionPlan(flags: flags, environment: []) }
    }
  }

  @Test("All mistakes are told at once, each by where it came from")
  func several() {
    let expected = [
      "--proxy-uid: \"x\" is not a user ID; expected a number such as 1337",
      "SIDECAR_INIT_EXCLUDE_INBOUND_CIDRS: \"y\" \(Self.blockList)",
    ]
    #expect(throws: RedirectionMistakes(lines: expected)) {
      _ = try RedirectionPlan(
        flags: [.proxyUID: "x"], environment: [("SIDECAR_INIT_EXCLUDE_INBOUND_CIDRS", "y"), ("PATH", "/bin")])
    }
  }

  @Test("A flag wins over the environment, the environment over the default")
  func precedence() throws {
    let environment = [("SIDECAR_INIT_INBOUND_PORT", "1"), ("SIDECAR_INIT_PROXY_UID", "5")]
    let plan = try RedirectionPlan(flags: [.inboundPort: "2"], environment: environment)
    #expect(plan.inboundPort == 2)
    #expect(plan.proxyUID == 5)
    #expect(plan.outboundPort == 15_001)
  }

  @Test("An empty exclusion is none: Kubernetes sets variables to \"\" easily")
  func emptyExclusions() throws {
    let flags = [RedirectionSetting.excludeInboundPorts, .excludeInboundCIDRs, .excludeUIDs].map { ($0, "") }
    #expect(try RedirectionPlan(flags: Dictionary(uniqueKeysWithValues: flags), environment: []) == RedirectionPlan())
  }

  @Test("Random text either is refused or leaves nothing of itself in the rules but numbers and blocks")
  func randomText() {
    let alphabet = Array("0123456789,-./:*{};#\"\\\n abcdef$")
    let allowed = Set("0123456789abcdef.:/-, ")
    var generator = SystemRandomNumberGenerator()
    var acceptedCount = 0
    for _ in 0..<2_000 {
      let text = String(
        (0..<Int.random(in: 1...8, using: &generator)).map { _ in
          alphabet.randomElement(using: &generator)!
        })
      for setting in RedirectionSetting.allCases {
        guard let plan = try? RedirectionPlan(flags: [setting: text], environment: []) else { continue }
        acceptedCount += 1
        // Whatever stands between braces came from a setting.
        for line in plan.script.split(separator: "\n") where line.contains("{ ") {
          let elements = line.split(separator: "{ ").last!.prefix { $0 != "}" }
          #expect(elements.allSatisfy(allowed.contains), "\(setting.flag) \(text)")
        }
        #expect(plan.script.count { $0 == "\n" } < 24)
      }
    }
    #expect(acceptedCount > 0)
  }
}
