// Goal: `init` writes exactly the rules that were asked for, whatever was asked for.
// Method: the script of a plan against the text that it has to be.

import Testing

@testable import sidecar_proxy

@Suite("Redirection rules")
struct RulesTests {
  private func plan(_ flags: [RedirectionSetting: String]) throws -> RedirectionPlan {
    try RedirectionPlan(flags: flags, environment: [])
  }

  @Test("By default all TCP goes to the sidecar, but for its own and the pod's")
  func defaults() throws {
    let expected = """
      table inet sidecar_proxy
      delete table inet sidecar_proxy
      table inet sidecar_proxy {
        chain inbound {
          type nat hook prerouting priority -100; policy accept;
          meta l4proto != tcp return
          iifname "lo" return comment "the pod talks to itself"
          tcp dport { 15000-15001, 15006, 15020 } return comment "the sidecar's own ports"
          meta l4proto tcp redirect to :15006
        }
        chain outbound {
          type nat hook output priority -100; policy accept;
          meta l4proto != tcp return
          meta skuid 1337 return comment "has been through the sidecar"
          oifname "lo" return comment "the pod talks to itself"
          meta l4proto tcp redirect to :15001
        }
      }

      """
    #expect(try plan([:]).script == expected)
  }

  @Test("Every setting has its place")
  func everything() throws {
    let plan = try plan([
      .inboundPort: "25006", .outboundPort: "25001", .proxyUID: "2000", .inboundPorts: "8080, 9000-9010",
      .outboundPorts: "1-1023", .excludeInboundPorts: "9005", .excludeInboundCIDRs: "10.0.0.1/32,fd00::/8",
      .excludeOutboundPorts: "53,853", .excludeOutboundCIDRs: "169.254.169.254/32,::ffff:10.9.0.0/112",
      .excludeUIDs: "0,100-199",
    ])
    let expected = """
      table inet sidecar_proxy
      delete table inet sidecar_proxy
      table inet sidecar_proxy {
        chain inbound {
          type nat hook prerouting priority -100; policy accept;
          meta l4proto != tcp return
          iifname "lo" return comment "the pod talks to itself"
          tcp dport { 15000, 15020, 25001, 25006 } return comment "the sidecar's own ports"
          tcp dport { 9005 } return comment "excluded"
          ip saddr { 10.0.0.1/32 } return comment "excluded"
          ip6 saddr { fd00::/8 } return comment "excluded"
          tcp dport { 8080, 9000-9010 } redirect to :25006
        }
        chain outbound {
          type nat hook output priority -100; policy accept;
          meta l4proto != tcp return
          meta skuid 2000 return comment "has been through the sidecar"
          oifname "lo" return comment "the pod talks to itself"
          meta skuid { 0, 100-199 } return comment "excluded"
          tcp dport { 53, 853 } return comment "excluded"
          ip daddr { 10.9.0.0/16, 169.254.169.254/32 } return comment "excluded"
          tcp dport { 1-1023 } redirect to :25001
        }
      }

      """
    #expect(plan.script == expected)
  }

  @Test("A direction that nothing is redirected in has no chain")
  func none() throws {
    #expect(try !plan([.inboundPorts: "none"]).script.contains("chain inbound"))
    #expect(try !plan([.outboundPorts: "none"]).script.contains("chain outbound"))
    #expect(
      try plan([.inboundPorts: "none", .outboundPorts: "none"]).script
        == RedirectionPlan.removalScript + "table inet sidecar_proxy {\n}\n")
  }

  @Test("Ranges that overlap or touch become one, blocks inside of others vanish: nft refuses overlapping intervals")
  func overlaps() throws {
    let plan = try plan([
      .excludeInboundPorts: "81,80,8500-9500,8000-9000,80",
      .excludeInboundCIDRs: "10.0.0.1/32,10.0.0.0/8,10.255.0.0/16,11.0.0.0/8,::/0,fd00::/8,10.0.0.0/8",
    ])
    #expect(plan.excludedInboundPorts.description == "80-81, 8000-9500")
    #expect(plan.excludedInboundCIDRs.map(\.description) == ["10.0.0.0/8", "11.0.0.0/8", "::/0"])
  }

  @Test("Removal works whether there is a table or not")
  func removal() {
    #expect(
      RedirectionPlan.removalScript == "table inet sidecar_proxy\ndelete table inet sidecar_proxy\n")
  }
}
