// Goal: a right file means exactly what the reference says. Method: files with the configuration that they must give,
// compared as a whole, so that a key that leaks into another one shows.

import Testing

@testable import ProxyCore

@Suite("Right configurations")
struct RightConfigurationTests {
  private let identity = Configuration.Identity(certificate: "/tls/a", privateKey: "/tls/b", trustBundle: "/tls/c")
  private let identityYAML = "identity: {certificate: /tls/a, privateKey: /tls/b, trustBundle: /tls/c}\n"

  /// What `someListener` gives.
  private var listener: Configuration.Listener {
    Configuration.Listener(
      name: "app", direction: .inbound, bind: SocketAddress("0.0.0.0:15006")!,
      target: .address(SocketAddress("127.0.0.1:8080")!))
  }

  @Test("The whole of it: every key set to something else than its default")
  func everything() throws {
    let yaml = """
      %YAML 1.1
      ---
      workers: 4
      engine: epoll
      identity:
        certificate: /tls/a
        privateKey: "/tls/b c"
        trustBundle: '/tls/c'
        alpn: mesh/2
      listeners:
        - name: inbound
          direction: inbound
          bind: "[::]:15006"
          target: original-destination
          tls: permissive
          allow:
            - principals: ["spiffe://cluster.local/ns/web/sa/*", "spiffe://cluster.local/ns/ops/**"]
              ports: [8080, 9090]
              sources: [10.0.0.0/8, "fd00::/8"]
            - sources: [192.168.0.0/16]
        - name: outbound
          direction: outbound
          bind: 127.0.0.1:15001
          target: original-destination
          mesh:
            - {destinations: [10.0.0.0/8], ports: [8080], tls: strict, principals: ["spiffe://a/b"]}
            - tls: off
        - {name: db, direction: outbound, bind: 127.0.0.1:5432, target: DB.prod.svc.cluster.local.:5432}
        - {name: sock, direction: inbound, bind: 0.0.0.0:15007, target: unix:/run/app=1.sock, tls: strict, allow: []}
      timeouts: {connect: 250ms, handshake: 1m, detect: 1m30s, idle: 0s, halfClose: 1h}
      drain: {grace: 0s, deadline: 0s}
      limits: {connections: 1000000}
      admin: {bind: "[::1]:16000", allowRemote: true}
      metrics: {bind: "[::]:16020"}
      accessLog: {path: /var/log/access.log, format: off, maxSize: 0, maxFiles: 100}
      log: {level: debug, format: json}
      ...

      """
    var expected = Configuration()
    expected.workers = .count(4)
    expected.engine = .epoll
    expected.identity = Configuration.Identity(
      certificate: "/tls/a", privateKey: "/tls/b c", trustBundle: "/tls/c", alpn: "mesh/2")
    expected.listeners = [
      Configuration.Listener(
        name: "inbound", direction: .inbound, bind: SocketAddress("[::]:15006")!, target: .originalDestination,
        tls: .permissive,
        allow: [
          Configuration.AllowRule(
            principals: ["spiffe://cluster.local/ns/web/sa/*", "spiffe://cluster.local/ns/ops/**"],
            ports: [8080, 9090], sources: [CIDR("10.0.0.0/8")!, CIDR("fd00::/8")!]),
          Configuration.AllowRule(sources: [CIDR("192.168.0.0/16")!]),
        ]),
      Configuration.Listener(
        name: "outbound", direction: .outbound, bind: SocketAddress("127.0.0.1:15001")!, target: .originalDestination,
        mesh: [
          Configuration.MeshRule(
            destinations: [CIDR("10.0.0.0/8")!], ports: [8080], tls: .strict, principals: ["spiffe://a/b"]),
          Configuration.MeshRule(tls: .off),
        ]),
      Configuration.Listener(
        name: "db", direction: .outbound, bind: SocketAddress("127.0.0.1:5432")!,
        target: .name(HostPort(host: "db.prod.svc.cluster.local.", port: 5432))),
      Configuration.Listener(
        name: "sock", direction: .inbound, bind: SocketAddress("0.0.0.0:15007")!,
        target: .unix(path: "/run/app=1.sock"), tls: .strict, allow: []),
    ]
    expected.timeouts = Configuration.Timeouts(
      connect: .milliseconds(250), handshake: .seconds(60), detect: .seconds(90), idle: nil, halfClose: .seconds(3600))
    expected.drain = Configuration.Drain(grace: .zero, deadline: .zero)
    expected.limits = Configuration.Limits(connections: 1_000_000)
    expected.admin = Configuration.Admin(bind: SocketAddress("[::1]:16000")!, allowRemote: true)
    expected.metrics = Configuration.Metrics(bind: SocketAddress("[::]:16020")!)
    expected.accessLog = Configuration.AccessLog(
      path: "/var/log/access.log", format: .off, maxSize: nil, maxFiles: 100)
    expected.log = Configuration.Log(level: .debug, format: .json)
    #expect(try load(yaml).configuration == expected)
  }

  @Test(
    "Whatever is not said keeps its default",
    arguments: [
      "", "workers: auto\n", "timeouts:\n", "timeouts: {}\n", "drain: ~\nlog: null\n", "# a comment\n", "\u{feff}",
      "engine: \"auto\"\n", "admin: {bind: 127.0.0.1:15000}\n", "\r\nworkers: auto\r\n", "workers: auto # not 4\n",
    ])
  func defaults(_ yaml: String) throws {
    let loaded = try load(yaml + someListener)
    #expect(loaded == Configuration.Loaded(configuration: Configuration(listeners: [listener]), warnings: []))
  }

  @Test("An inbound listener that doesn't speak of TLS is strict when there is an identity, and off when there is none")
  func defaultTLS() throws {
    #expect(try load(someListener).configuration.listeners[0].tls == .off)
    let loaded = try load(identityYAML + someListener)
    #expect(loaded.configuration.identity == identity)
    #expect(loaded.configuration.listeners[0].tls == .strict)
    let path = [("SIDECAR_IDENTITY_CERTIFICATE", "/a")]
    #expect(
      errors(someListener, environment: path) == [
        "environment SIDECAR_IDENTITY_CERTIFICATE: identity: the keys privateKey and trustBundle are missing; "
          + "expected certificate, privateKey and trustBundle"
      ])
  }

  @Test("A mesh rule that doesn't speak of TLS is strict, and an outbound listener is off")
  func defaultMeshTLS() throws {
    let yaml =
      identityYAML + "listeners: [{name: out, direction: outbound, bind: 127.0.0.1:15001, "
      + "target: original-destination, mesh: [{ports: [8080]}]}]\n"
    let loaded = try load(yaml)
    #expect(loaded.warnings.isEmpty)
    #expect(loaded.configuration.listeners[0].tls == .off)
    #expect(loaded.configuration.listeners[0].mesh == [Configuration.MeshRule(ports: [8080], tls: .strict)])
  }

  @Test(
    "Targets",
    arguments: [
      ("127.0.0.1:8080", Target.address(SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 8080))),
      ("\"[::1]:8080\"", .address(SocketAddress(ip: IPAddress(v6: 1), port: 8080))),
      ("\"[::ffff:1.2.3.4]:1\"", .address(SocketAddress(ip: IPAddress(v6: 0xffff_0102_0304), port: 1))),
      ("app:65535", .name(HostPort(host: "app", port: 65535))),
      ("my_app.ns1.svc:80", .name(HostPort(host: "my_app.ns1.svc", port: 80))),
      ("1password.example:80", .name(HostPort(host: "1password.example", port: 80))),
      ("unix:/run/app.sock", .unix(path: "/run/app.sock")),
      ("unix:/\(String(repeating: "a", count: 106))", .unix(path: "/" + String(repeating: "a", count: 106))),
      ("original-destination", .originalDestination),
    ])
  func targets(text: String, expected: Target) throws {
    let yaml = "listeners: [{name: a, direction: inbound, bind: 127.0.0.1:9000, target: \(text)}]\n"
    #expect(try load(yaml).configuration.listeners[0].target == expected)
  }

  @Test("Listeners on different addresses may share a port, and a target may be another listener")
  func neighbours() throws {
    let yaml = """
      listeners:
        - {name: a, direction: inbound, bind: 127.0.0.1:9000, target: 127.0.0.2:9000}
        - {name: b, direction: inbound, bind: 127.0.0.2:9000, target: 127.0.0.1:8080}
        - {name: c, direction: inbound, bind: "[::1]:9000", target: 127.0.0.1:8080}

      """
    #expect(try load(yaml).configuration.listeners.map(\.name) == ["a", "b", "c"])
  }
}
