// Goal: a reload changes what changed and nothing else. Method: plans between configurations made in code.

import Testing

@testable import ProxyCore

@Suite("Reload plan")
struct ReloadPlanTests {
  private static func listener(
    _ name: String, port: UInt16, target: UInt16 = 80, direction: Configuration.Listener.Direction = .inbound
  ) -> Configuration.Listener {
    let loopback = IPAddress(v4: 0x7f00_0001)
    return Configuration.Listener(
      name: name, direction: direction, bind: SocketAddress(ip: loopback, port: port),
      target: .address(SocketAddress(ip: loopback, port: target)))
  }

  private let a = listener("a", port: 1)
  private let b = listener("b", port: 2)

  private func plan(
    _ active: [Configuration.Listener], _ new: [Configuration.Listener], leaving: [ActiveListener] = []
  ) -> ReloadPlan {
    let numbered = active.enumerated().map { ActiveListener(id: ListenerID(rawValue: $0), listener: $1) }
    return ReloadPlan(
      active: numbered, leaving: leaving, running: Configuration(listeners: active), new: Configuration(listeners: new))
  }

  @Test("The same configuration is no change")
  func same() {
    let plan = plan([a, b], [b, a])
    #expect(plan.added.isEmpty && plan.updated.isEmpty && plan.removed.isEmpty && plan.needsRestart.isEmpty)
  }

  @Test("New and gone listeners")
  func addedAndRemoved() {
    let plan = plan([a], [b])
    #expect(plan.added == [b])
    #expect(plan.removed.map(\.listener) == [a])
  }

  @Test("A new target is an update, and keeps the number")
  func updated() {
    var changed = b
    changed.target = .originalDestination
    let plan = plan([a, b], [a, changed])
    #expect(plan.added.isEmpty && plan.removed.isEmpty)
    #expect(plan.updated == [ActiveListener(id: ListenerID(rawValue: 1), listener: changed)])
  }

  @Test("Another address, name or direction is another listener")
  func replaced() {
    for other in [
      Self.listener("a", port: 9), Self.listener("c", port: 1), Self.listener("a", port: 1, direction: .outbound),
    ] {
      let plan = plan([a], [other])
      #expect(plan.added == [other] && plan.removed.map(\.listener) == [a] && plan.updated.isEmpty)
    }
  }

  @Test("Who is removed, now or shortly before, makes room at once where an added one has the address")
  func displaced() {
    let leaving = ActiveListener(id: ListenerID(rawValue: 7), listener: Self.listener("c", port: 3))
    #expect(plan([a, b], [b], leaving: [leaving]).displaced.isEmpty)
    #expect(plan([a, b], [b, Self.listener("d", port: 4)], leaving: [leaving]).displaced.isEmpty)
    #expect(plan([a, b], [b, Self.listener("d", port: 1)], leaving: [leaving]).displaced == [ListenerID(rawValue: 0)])
    #expect(plan([a], [a, leaving.listener], leaving: [leaving]).displaced == [leaving.id])
    var everywhere = Self.listener("d", port: 3)
    everywhere.bind = SocketAddress(ip: IPAddress(v4: 0), port: 3)
    #expect(plan([a], [a, everywhere], leaving: [leaving]).displaced == [leaving.id])
  }

  @Test("What needs a restart is named and keeps its value; the rest takes effect")
  func needsRestart() {
    let running = Configuration()
    var new = running
    new.workers = .count(3)
    new.engine = .epoll
    new.confinement = .off
    new.admin.bind = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 5)
    new.metrics.bind = SocketAddress(ip: IPAddress(v4: 0), port: 6)
    new.accessLog.format = .off
    new.timeouts.connect = .seconds(9)
    new.limits.connections = 77
    let plan = ReloadPlan(active: [], running: running, new: new)
    #expect(plan.needsRestart == ["workers", "engine", "confinement", "admin", "metrics.bind", "accessLog.format"])
    var expected = running
    expected.timeouts = new.timeouts
    expected.limits = new.limits
    #expect(plan.effective(running: running, new: new) == expected)
  }

  @Test("An access log's path and format change without a restart")
  func accessLog() {
    let running = Configuration()
    var new = running
    new.accessLog = Configuration.AccessLog(path: "/tmp/other", format: .text)
    let plan = ReloadPlan(active: [], running: running, new: new)
    #expect(plan.needsRestart.isEmpty)
    #expect(plan.effective(running: running, new: new).accessLog == new.accessLog)
  }
}

@Suite("Debounce")
struct DebounceTests {
  @Test("Fires once, after the events have been quiet")
  func quiet() {
    var debounce = Debounce()
    #expect(debounce.deadline == nil)
    debounce.event(now: 1_000)
    debounce.event(now: 2_000)
    #expect(debounce.deadline == 2_000 + Debounce.quietNanoseconds)
    let fired = [1_000, 2_000, 3_000].map { debounce.fire(now: $0 + Debounce.quietNanoseconds) }
    #expect(fired == [false, true, false])
    #expect(debounce.deadline == nil)
  }

  @Test("Fires although the events never end")
  func impatient() {
    var debounce = Debounce()
    for step in 0..<100 { debounce.event(now: UInt64(step) * 100_000_000) }
    #expect(debounce.deadline == Debounce.patienceNanoseconds)
  }
}

@Suite("Resolver schedule")
struct ResolverScheduleTests {
  @Test("A failing name is tried after 1, 2, 4 … 30 s, a good one every 30 s")
  func schedule() {
    var schedule = ResolverSchedule()
    #expect(schedule.dueAt == 0)
    var pauses: [UInt64] = []
    for _ in 0..<7 {
      schedule.tried(succeeded: false, now: 0)
      pauses.append(schedule.dueAt / 1_000_000_000)
    }
    #expect(pauses == [1, 2, 4, 8, 16, 30, 30])
    schedule.tried(succeeded: true, now: 0)
    #expect(schedule.dueAt == Resolver.refreshNanoseconds)
    schedule.tried(succeeded: false, now: 0)
    #expect(schedule.dueAt == Resolver.retryNanoseconds, "a success forgets the failures before it")
  }
}
