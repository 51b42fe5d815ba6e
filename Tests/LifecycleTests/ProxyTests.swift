// Goal: a whole proxy starts, serves, reloads, drains and ends as the design says. Method: a real proxy with its real
// endpoints on loopback ports that the kernel chooses, a real client, and waiting for conditions, never for time.

import Glibc
import Metrics
import NIOHTTP1
import Synchronization
import Testing

@testable import ProxyCore
@testable import sidecar_proxy

private let freePort = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)

/// A proxy in front of an echo server, with its control thread.
private final class Fixture: Sendable {
  let proxy: Proxy
  private let app: EchoApp
  private let thread: PosixThread
  private let box: OutcomeBox

  init(
    _ adjust: (inout Configuration) -> Void = { _ in }, options: Proxy.Options = Proxy.Options(), log: Log? = nil
  ) throws {
    let app = try EchoApp()
    self.app = app
    var configuration = Fixture.configuration(target: .address(app.address))
    adjust(&configuration)
    let proxy = try Proxy(configuration, options: options, log: log ?? Log(level: .error))
    self.proxy = proxy
    let box = OutcomeBox()
    thread = PosixThread.start(name: "test-control") { box.outcome.withLock { $0 = proxy.run() } }
    self.box = box
  }

  static func configuration(target: Target) -> Configuration {
    var configuration = Configuration()
    configuration.workers = .count(2)
    configuration.listeners = [.init(name: "in", direction: .inbound, bind: freePort, target: target)]
    configuration.admin.bind = freePort
    configuration.metrics.bind = freePort
    configuration.accessLog.format = .off
    configuration.limits.connections = 1_000
    configuration.drain = .init(grace: .zero, deadline: .seconds(60))
    return configuration
  }

  var address: SocketAddress { proxy.configuration.listeners[0].bind }

  deinit { app.stop() }

  /// Waits for the control thread.
  func join() -> Proxy.Outcome? {
    thread.join()
    return box.outcome.withLock { $0 }
  }

  func stop() {
    proxy.interrupt()
    _ = join()
  }

  /// A sample of the exposition, by its name and labels as printed.
  func sample(_ name: String) -> UInt64? {
    let text = String(decoding: proxy.metrics(format: .text), as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
    return line.flatMap { $0.split(separator: " ").last }.flatMap { UInt64($0) }
  }
}

private final class OutcomeBox: Sendable {
  let outcome = Mutex<Proxy.Outcome?>(nil)
}

/// A blocking client.
private final class Connection {
  let descriptor: Int32

  init?(to address: SocketAddress) {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    // A failed connect leaves the descriptor to deinit, which runs for a failed initialiser as well.
    guard address.withSockAddr({ connect(descriptor, $0, $1) }) == 0 else {
      return nil
    }
  }

  /// Sends bytes and expects them back.
  func echoes(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard DemoSocket.sendAll(descriptor, bytes[...]) else { return false }
    var answer = [UInt8](repeating: 0, count: bytes.count)
    return recv(descriptor, &answer, answer.count, Int32(MSG_WAITALL)) == bytes.count && answer == bytes
  }

  /// Whether the other side has ended it; waits until it has.
  func ends() -> Bool {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, 0) <= 0
  }

  deinit { close(descriptor) }
}

@Suite("A running proxy")
struct ProxyTests {
  @Test("Relays, counts and lists connections")
  func serves() throws {
    let fixture = try Fixture()
    let labels = #"{direction="inbound",listener="in",tls="none"}"#
    do {
      let connection = try #require(Connection(to: fixture.address))
      #expect(connection.echoes("hello"))
      let listed = fixture.proxy.connections()
      #expect(listed.count == 1)
      #expect(listed.first?.receivedBytes == 5)
      #expect(fixture.sample("sidecar_connections_active" + labels) == 1)
      #expect(fixture.sample("sidecar_received_bytes_total" + labels) == 5)
    }
    #expect(eventually { fixture.sample("sidecar_connections_active" + labels) == 0 })
    #expect(fixture.sample("sidecar_sent_bytes_total" + labels) == 5)
    fixture.stop()
  }

  @Test("Workers of a proxy whose start failed behind them take nothing down with them")
  func outlivedByItsWorkers() throws {
    let app = try EchoApp()
    defer { app.stop() }
    var proxy: Proxy? = try Proxy(
      Fixture.configuration(target: .address(app.address)), options: Proxy.Options(), log: Log(level: .error))
    let address = try #require(proxy?.configuration.listeners[0].bind)
    proxy = nil
    #expect(try #require(Connection(to: address)).echoes("still here"))
  }

  @Test("A connection that is there survives SIGTERM's drain until its own end")
  func drains() throws {
    let fixture = try Fixture()
    do {
      let connection = try #require(Connection(to: fixture.address))
      #expect(connection.echoes("before"))
      fixture.proxy.shutDown()
      #expect(eventually { fixture.proxy.phase == .draining })
      #expect(fixture.proxy.unreadyReasons == ["draining"])
      #expect(connection.echoes("during"))
      #expect(eventually { Connection(to: fixture.address) == nil }, "no new connections once draining")
      #expect(fixture.proxy.phase == .draining)
    }
    #expect(fixture.join() == .drained)
  }

  @Test("New connections are served during the grace, unready as the proxy is")
  func servesDuringGrace() throws {
    let fixture = try Fixture { $0.drain = .init(grace: .seconds(3_600), deadline: .seconds(3_600)) }
    fixture.proxy.shutDown()
    #expect(eventually { fixture.proxy.phase == .grace })
    #expect(fixture.proxy.unreadyReasons == ["draining"])
    do {
      let connection = try #require(Connection(to: fixture.address))
      #expect(connection.echoes("late"))
    }
    fixture.proxy.shutDown()
    #expect(fixture.join() == .drained, "the second time ends at once")
  }

  @Test("What is left at the deadline is cut, and counted with its reason")
  func cutsAtDeadline() throws {
    let fixture = try Fixture { $0.drain = .init(grace: .zero, deadline: .milliseconds(50)) }
    let connection = try #require(Connection(to: fixture.address))
    #expect(connection.echoes("x"))
    fixture.proxy.shutDown()
    #expect(connection.ends())
    #expect(fixture.join() == .drained)
    let name =
      #"sidecar_connections_closed_total{direction="inbound",listener="in",reason="drain_deadline",tls="none"}"#
    #expect(fixture.sample(name) == 1)
  }

  @Test("/drain empties and stays; /shutdown ends it")
  func drainAndStay() throws {
    let fixture = try Fixture()
    fixture.proxy.drain()
    #expect(eventually { fixture.proxy.phase == .drained })
    #expect(fixture.proxy.unreadyReasons == ["drained"])
    fixture.proxy.shutDown()
    #expect(fixture.join() == .drained)
  }

  @Test("A port in use is one line that names it")
  func portInUse() throws {
    let fixture = try Fixture()
    let taken = fixture.address
    do {
      _ = try Fixture { $0.listeners[0].bind = taken }
      Issue.record("a second proxy must not share the port unnoticed")
    } catch let error as StartError {
      #expect(error.description.hasPrefix("listener in: can't bind \(taken): Address already in use; "))
      #expect(error.description.contains("port \(taken.port)"))
    }
    fixture.stop()
  }

  @Test("An address of another host is one line that says so")
  func foreignAddress() throws {
    do {
      _ = try Fixture { $0.listeners[0].bind = SocketAddress(ip: IPAddress(v4: 0xc000_0201), port: 0) }
      Issue.record("192.0.2.1 is no host's address (RFC 5737)")
    } catch let error as StartError {
      #expect(error.description.contains("no interface has the address 192.0.2.1"))
    }
  }

  @Test("An unresolvable target doesn't stop the start; its connections end with resolve_failed")
  func unresolvable() throws {
    let name = HostPort(host: "name.invalid", port: 80)
    let fixture = try Fixture { $0.listeners[0].target = .name(name) }
    do {
      let connection = try #require(Connection(to: fixture.address))
      #expect(connection.ends())
    }
    let closed =
      #"sidecar_connections_closed_total{direction="inbound",listener="in",reason="resolve_failed",tls="none"}"#
    #expect(eventually { fixture.sample(closed) == 1 })
    fixture.stop()
  }
}

@Suite("Reload")
struct ReloadTests {
  /// A proxy that is configured by a file.
  private func fixture(_ root: FakeRoot, path: String) throws -> Fixture {
    var options = Proxy.Options()
    options.watch = try FileWatch(paths: [path])
    options.load = { () throws(Proxy.LoadFailure) in
      do throws(ConfigurationError) {
        return try Configuration.load(file: path, isReload: true).configuration
      } catch {
        throw Proxy.LoadFailure(lines: error.diagnostics.map(\.description))
      }
    }
    let loaded = try Configuration.load(file: path).configuration
    return try Fixture({ $0 = loaded }, options: options)
  }

  private func yaml(name: String, port: UInt16, connect: String = "5s") -> String {
    """
    workers: 2
    accessLog: {format: off}
    timeouts: {connect: \(connect)}
    drain: {grace: 0s, deadline: 60s}
    listeners:
      - {name: \(name), direction: inbound, bind: "127.0.0.1:\(port)", target: "127.0.0.1:9"}
    """
  }

  /// A port that was free a moment ago.
  private func port() throws -> UInt16 {
    let listener = Configuration.Listener(name: "x", direction: .inbound, bind: freePort, target: .originalDestination)
    let sockets = try ListenerSockets.open(listener, workers: 1)
    for descriptor in sockets.descriptors { close(descriptor.rawValue) }
    return sockets.address.port
  }

  @Test("A file renamed over the old one is loaded, and moves the listener")
  func rename() throws {
    let (old, new) = (try port(), try port())
    let root = try FakeRoot(["config.yaml": yaml(name: "in", port: old)])
    let fixture = try fixture(root, path: root.path + "/config.yaml")
    #expect(Connection(to: fixture.address) != nil)
    try root.write("next", yaml(name: "in", port: new))
    #expect(Glibc.rename(root.path + "/next", root.path + "/config.yaml") == 0)
    #expect(eventually { fixture.sample(#"sidecar_config_reloads_total{result="success"}"#) == 1 })
    #expect(fixture.address.port == new)
    #expect(Connection(to: fixture.address) != nil)
    let gone = SocketAddress(ip: freePort.ip, port: old)
    #expect(eventually { Connection(to: gone) == nil })
    fixture.stop()
  }

  @Test("The kubelet's swap of ..data is noticed")
  func kubeletSwap() throws {
    let port = try port()
    let root = try FakeRoot([
      "..1/config.yaml": yaml(name: "in", port: port), "..2/config.yaml": yaml(name: "in", port: port, connect: "7s"),
    ])
    #expect(symlink("..1", root.path + "/..data") == 0)
    #expect(symlink("..data/config.yaml", root.path + "/config.yaml") == 0)
    let fixture = try fixture(root, path: root.path + "/config.yaml")
    #expect(symlink("..2", root.path + "/..data_tmp") == 0)
    #expect(Glibc.rename(root.path + "/..data_tmp", root.path + "/..data") == 0)
    #expect(eventually { fixture.proxy.configuration.timeouts.connect == .seconds(7) })
    fixture.stop()
  }

  @Test("A file written in place is loaded; a bad one is refused and changes nothing")
  func inPlace() throws {
    let port = try port()
    let root = try FakeRoot(["config.yaml": yaml(name: "in", port: port)])
    let fixture = try fixture(root, path: root.path + "/config.yaml")
    let before = fixture.proxy.configuration
    try root.write("config.yaml", "listeners: {nonsense")
    #expect(eventually { fixture.sample(#"sidecar_config_reloads_total{result="failure"}"#) == 1 })
    #expect(fixture.proxy.configuration == before)
    #expect(fixture.sample("sidecar_config_last_reload_successful") == 0)
    try root.write("config.yaml", yaml(name: "in", port: port, connect: "8s"))
    #expect(eventually { fixture.proxy.configuration.timeouts.connect == .seconds(8) })
    #expect(eventually { fixture.sample("sidecar_config_last_reload_successful") == 1 })
    fixture.stop()
  }

  @Test("A listener that can't be bound refuses the whole configuration")
  func allOrNothing() throws {
    let port = try port()
    let root = try FakeRoot(["config.yaml": yaml(name: "in", port: port)])
    let fixture = try fixture(root, path: root.path + "/config.yaml")
    let other = try Fixture()
    try root.write(
      "config.yaml",
      yaml(name: "in", port: port, connect: "9s") + """

          - {name: fresh, direction: inbound, bind: "127.0.0.1:0\(try self.port())", target: "127.0.0.1:9"}
          - {name: taken, direction: inbound, bind: "\(other.address)", target: "127.0.0.1:9"}
        """)
    #expect(eventually { fixture.sample(#"sidecar_config_reloads_total{result="failure"}"#) == 1 })
    #expect(fixture.proxy.configuration.timeouts.connect == .seconds(5))
    #expect(fixture.proxy.configuration.listeners.map(\.name) == ["in"])
    other.stop()
    fixture.stop()
  }

  @Test("A name that was removed and comes back is resolved and reached, although its addresses are the old ones")
  func nameComesBack() throws {
    let (port, other) = (try port(), try port())
    let root = try FakeRoot(["config.yaml": yaml(name: "in", port: port)])
    let app = try EchoApp()
    defer { app.stop() }
    let named = yaml(name: "in", port: port).replacing("127.0.0.1:9", with: "localhost:\(app.address.port)")
    try root.write("config.yaml", named)
    let fixture = try fixture(root, path: root.path + "/config.yaml")
    #expect(try #require(Connection(to: fixture.address)).echoes("before"))
    try root.write("config.yaml", yaml(name: "other", port: other))
    #expect(eventually { fixture.proxy.configuration.listeners.map(\.name) == ["other"] })
    try root.write("config.yaml", named)
    #expect(eventually { fixture.proxy.configuration.listeners.map(\.name) == ["in"] })
    #expect(try #require(Connection(to: fixture.address)).echoes("after"))
    fixture.stop()
  }

  @Test("A removed listener's series end with its last connection")
  func seriesOfRemovedListeners() throws {
    let port = try port()
    let root = try FakeRoot(["config.yaml": yaml(name: "old", port: port)])
    let app = try EchoApp()
    defer { app.stop() }
    let path = root.path + "/config.yaml"
    try root.write("config.yaml", yaml(name: "old", port: port).replacing("127.0.0.1:9", with: "\(app.address)"))
    let fixture = try fixture(root, path: path)
    let series = #"sidecar_connections_opened_total{direction="inbound",listener="old",tls="none"}"#
    do {
      let connection = try #require(Connection(to: fixture.address))
      #expect(connection.echoes("x"))
      try root.write("config.yaml", yaml(name: "new", port: try self.port()))
      #expect(eventually { fixture.proxy.configuration.listeners.map(\.name) == ["new"] })
      #expect(connection.echoes("still here"))
      #expect(fixture.sample(series) == 1)
    }
    #expect(eventually { fixture.sample(series) == nil })
    fixture.stop()
  }
}
