// Goal: what a mesh rule wants encrypted never goes out in the clear, whatever fails and whatever changes meanwhile, and
// the metric's label is the truth. Method: a scripted kernel, a name with addresses inside and outside of the mesh.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

@Suite struct MeshRuleTests {
  private static let inside = "10.1.0.1:80"
  private static let outside = "192.0.2.1:80"
  private static let mesh = [Configuration.MeshRule(destinations: [CIDR("10.1.0.0/16")!])]
  private static let givingUp: [Step] = [.close(.server), .resetOnClose(.client), .close(.client)]

  private let identities: ScriptedIdentities

  init() throws { identities = try ScriptedIdentities() }

  @Test("When the address in the mesh refuses, the one outside is not tried in the clear")
  func noDowngrade() {
    let bench = WorkerBench.outbound(identities, mesh: Self.mesh, to: Self.inside, Self.outside)
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: Self.inside))
    bench.turn([.failed(.connect(.server), ECONNREFUSED)], expecting: Self.givingUp)
    #expect(bench.closedMutual(.connectRefused) == 1)
    #expect(bench.accessLog.pop()?.upstream.socketAddress == SocketAddress(Self.inside))
    bench.expectNothingHeld()
  }

  @Test("What began in the clear tries the addresses in the clear: its label is the truth to its end")
  func noUnnoticedUpgrade() {
    let bench = WorkerBench.outbound(identities, mesh: Self.mesh, to: Self.outside, Self.inside, "192.0.2.2:80")
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: Self.outside))
    bench.turn(
      [.failed(.connect(.server), ECONNREFUSED)],
      expecting: [
        .close(.server), .openSocket(AF_INET, gives: .secondServer), .configureStream(.secondServer),
        .connect(.secondServer, to: "192.0.2.2:80"),
      ])
    bench.turn(
      [.connected(.secondServer)],
      expecting: [.receive(.client, expectsData: true), .receive(.secondServer, expectsData: false)])
    #expect(bench.count(.opened) == 1)
  }

  @Test("A rule that a reload takes away while it connects leaves no connection in the clear")
  func ruleRemoved() {
    let bench = WorkerBench.outbound(identities, mesh: Self.mesh, to: Self.inside)
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: Self.inside))
    bench.command(
      .updateListener(WorkerBench.listenerID, WorkerBench.outboundPlan(mesh: [], to: [Self.inside])), expecting: [])
    bench.turn(
      [.connected(.server)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server)] + WorkerBench.ending())
    #expect(bench.closedMutual(.connectFailed) == 1)
    bench.expectNothingHeld()
  }

  @Test("A rule that a reload brings while it connects leaves no connection in the clear")
  func ruleAdded() {
    let bench = WorkerBench.outbound(identities, mesh: [], to: Self.inside)
    bench.turn([.accepted(.client, on: .listener)], expecting: WorkerBench.connecting(to: Self.inside))
    bench.command(
      .updateListener(WorkerBench.listenerID, WorkerBench.outboundPlan(mesh: Self.mesh, to: [Self.inside])),
      expecting: [])
    bench.turn(
      [.connected(.server)],
      expecting: [.resetOnClose(.client), .resetOnClose(.server)] + WorkerBench.ending())
    #expect(bench.count(.opened) == 1)
    bench.expectNothingHeld()
  }
}
