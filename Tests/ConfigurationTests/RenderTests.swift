// Goal: the rendered configuration reads back as an equal one, whatever is in it. Method: fixed and random
// configurations from a fixed seed, rendered and loaded again; one rendering is compared as text.

import Testing

@testable import ProxyCore

@Suite("Rendering")
struct RenderTests {
  @Test("The defaults and one listener, as text")
  func text() throws {
    #expect(
      try load(someListener).configuration.render() == """
        workers: auto
        engine: auto
        confinement: auto
        timeouts:
          connect: 5s
          handshake: 5s
          detect: 1s
          idle: 1h
          halfClose: 30s
        drain:
          grace: 5s
          deadline: 30s
        limits:
          connections: 10000
        admin:
          bind: 127.0.0.1:15000
          allowRemote: false
        metrics:
          bind: 0.0.0.0:15020
        accessLog:
          path: /dev/stdout
          format: json
          maxSize: 100MiB
          maxFiles: 4
        log:
          level: info
          format: text
        listeners:
          - name: app
            direction: inbound
            bind: 0.0.0.0:15006
            target: 127.0.0.1:8080
            tls: off

        """)
  }

  @Test("Texts that YAML gives a meaning to read back equal")
  func strangeTexts() throws {
    let strange = [
      "/a b", "/#", "/a: b", "/\"quoted\"", "/back\\slash", "/ünïcödé", "/\u{1f510}", "/'", "/a,b", "/{x}", "/%",
      "/a #b",
      "/\u{a0}", "/\u{2028}",
    ]
    for path in strange {
      var configuration = try load(someListener).configuration
      configuration.identity = Configuration.Identity(
        certificate: path, privateKey: path, trustBundle: path, alpn: "\"#:\\")
      configuration.accessLog.path = path
      configuration.listeners[0].target = .unix(path: path)
      #expect(try load(configuration.render()).configuration == configuration)
    }
  }

  @Test("Names that YAML could take for something else stay names", arguments: ["null", "1", "-", "-a", "off", "true"])
  func names(_ name: String) throws {
    var configuration = try load(someListener).configuration
    configuration.listeners[0].name = name
    #expect(try load(configuration.render()).configuration == configuration)
  }

  @Test("500 random configurations read back equal")
  func random() throws {
    var generator = SplitMix64(seed: 0x5eed)
    for _ in 0..<500 {
      let configuration = Configuration.random(using: &generator)
      let text = configuration.render()
      try #require(try load(text).configuration == configuration, "\(text)")
    }
  }
}

extension Configuration {
  /// A random configuration that is free of contradictions.
  fileprivate static func random(using generator: inout SplitMix64) -> Configuration {
    var configuration = Configuration()
    configuration.workers = Bool.random(using: &generator) ? .auto : .count(.random(in: 1...256, using: &generator))
    configuration.engine = .allCases.randomElement(using: &generator)!
    configuration.identity = Identity(certificate: "/tls/a", privateKey: "/tls/b", trustBundle: "/tls/c")
    configuration.timeouts.connect = .milliseconds(Int.random(in: 1...3_600_000, using: &generator))
    configuration.timeouts.idle =
      Bool.random(using: &generator) ? nil : .milliseconds(Int.random(in: 1...9_000_000, using: &generator))
    configuration.drain.grace = .milliseconds(Int.random(in: 0...30_000, using: &generator))
    configuration.limits.connections = .random(in: 1...Limits.connectionsMax, using: &generator)
    configuration.accessLog.format = .allCases.randomElement(using: &generator)!
    configuration.accessLog.maxSize =
      Bool.random(using: &generator) ? nil : .kibibytes(.random(in: 64...(1 << 30), using: &generator))
    configuration.accessLog.maxFiles = .random(in: AccessLog.maxFilesRange, using: &generator)
    configuration.log.level = .allCases.randomElement(using: &generator)!
    configuration.listeners = (0..<Int.random(in: 1...5, using: &generator)).map { index in
      .random(number: index, using: &generator)
    }
    return configuration
  }
}

extension Configuration.Listener {
  fileprivate static func random(number: Int, using generator: inout SplitMix64) -> Configuration.Listener {
    let bind = SocketAddress(ip: .random(using: &generator), port: UInt16(20_000 + number))
    let targets: [Target] = [
      .originalDestination, .unix(path: "/run/\(number).sock"), .name(HostPort(host: "app-\(number)", port: 80)),
      .address(SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 80)),
      .address(SocketAddress(ip: IPAddress(v6: 1), port: 80)),
    ]
    var listener = Configuration.Listener(
      name: "listener-\(number)", direction: Direction.allCases.randomElement(using: &generator)!, bind: bind,
      target: targets.randomElement(using: &generator)!)
    let blocks = (0..<3).map { _ -> CIDR in
      let ip = IPAddress.random(using: &generator)
      return CIDR(containing: ip, prefixLength: .random(in: 0...ip.family.bitCount, using: &generator))!
    }
    let principals = ["spiffe://a.b/c", "spiffe://a_b/*/d", "spiffe://a-b/**"]
    switch listener.direction {
    case .inbound:
      listener.tls = [.permissive, .strict].randomElement(using: &generator)!
      listener.allow = [
        nil, [], [Configuration.AllowRule(principals: principals)],
        [Configuration.AllowRule(sources: blocks), Configuration.AllowRule(principals: principals, sources: blocks)],
      ].randomElement(using: &generator)!
    case .outbound:
      if case .unix = listener.target { break }
      listener.mesh = [
        [], [Configuration.MeshRule(destinations: blocks, ports: [1, 65535], tls: .strict, principals: principals)],
        [Configuration.MeshRule(ports: [80], tls: .off), Configuration.MeshRule(tls: .strict)],
      ].randomElement(using: &generator)!
    }
    return listener
  }
}

extension IPAddress {
  fileprivate static func random(using generator: inout SplitMix64) -> IPAddress {
    Bool.random(using: &generator)
      ? IPAddress(v4: .random(in: 0x0100_0000...UInt32.max, using: &generator))
      : IPAddress(v6: .random(in: 1 << 96...UInt128.max, using: &generator))
  }
}
