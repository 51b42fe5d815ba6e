// Goal: flags win over the environment, which wins over the file; an override passes the same checks as the file and its
// errors name it. Method: loads with overrides, and the exact result or diagnostics.

import Testing

@testable import ProxyCore

@Suite("Overrides")
struct OverridesTests {
  @Test("A flag wins over the environment, the environment over the file, the file over the default")
  func precedence() throws {
    let file = "workers: 2\n" + someListener
    let environment = [("SIDECAR_WORKERS", "3")]
    let flags = [(flag: "--workers", value: "4")]
    #expect(try load(someListener).configuration.workers == .auto)
    #expect(try load(file).configuration.workers == .count(2))
    #expect(try load(file, environment: environment).configuration.workers == .count(3))
    #expect(try load(file, environment: environment, flags: flags).configuration.workers == .count(4))
    #expect(try load(file, flags: flags + [(flag: "--workers", value: "5")]).configuration.workers == .count(5))
  }

  @Test("An override leaves the rest of its section alone")
  func section() throws {
    let file = "timeouts: {connect: 1s, idle: 2s}\n" + someListener
    let loaded = try load(file, environment: [("SIDECAR_TIMEOUTS_IDLE", "3s")])
    #expect(loaded.configuration.timeouts == Configuration.Timeouts(connect: .seconds(1), idle: .seconds(3)))
  }

  @Test("A wrong value of the file that is overridden is no longer wrong")
  func overriddenMistake() throws {
    let loaded = try load("workers: 0\n" + someListener, flags: [(flag: "--workers", value: "1")])
    #expect(loaded.configuration.workers == .count(1))
  }

  @Test("A section that isn't one stays an error of the file, whatever overrides it")
  func brokenSection() {
    #expect(
      errors("drain: 5s\n" + someListener, environment: [("SIDECAR_DRAIN_GRACE", "1s")]) == [
        "sidecar.yaml:1:8: drain: \"5s\" can't stand here; expected a mapping with grace or deadline"
      ])
  }

  @Test("The identity can come from the environment alone, even where the file leaves it empty")
  func identity() throws {
    let environment = [
      ("SIDECAR_IDENTITY_CERTIFICATE", "/a"), ("SIDECAR_IDENTITY_PRIVATE_KEY", "/b"),
      ("SIDECAR_IDENTITY_TRUST_BUNDLE", "/c"),
    ]
    let expected = Configuration.Identity(certificate: "/a", privateKey: "/b", trustBundle: "/c")
    #expect(try load(someListener, environment: environment).configuration.identity == expected)
    #expect(try load("identity:\n" + someListener, environment: environment).configuration.identity == expected)
  }

  @Test("Errors name the variable or the flag, after those of the file")
  func places() {
    let messages = errors(
      "engine: x\n" + someListener, environment: [("SIDECAR_TIMEOUTS_CONNECT", "5")],
      flags: [(flag: "--log-level", value: "loud"), (flag: "--drain-grace", value: "1h")])
    #expect(
      messages == [
        "sidecar.yaml:1:9: engine: \"x\" is unknown; expected auto, io_uring or epoll",
        "environment SIDECAR_TIMEOUTS_CONNECT: timeouts.connect: \"5\" has no unit; "
          + "expected a duration such as 250ms, 5s, 1m30s or 1h; did you mean 5s?",
        "--log-level: log.level: \"loud\" is unknown; expected debug, info, warning or error",
        "--drain-grace: drain.deadline: connections are cut after 30s, but accepted until 1h (drain.grace); "
          + "expected a deadline of at least 1h",
      ])
  }

  @Test("An empty variable is a mistake, not a default: an unset template would otherwise turn protection off")
  func emptyVariable() {
    #expect(
      errors(someListener, environment: [("SIDECAR_LOG_LEVEL", "")]) == [
        "environment SIDECAR_LOG_LEVEL: log.level: the value is missing; expected debug, info, warning or error"
      ])
  }

  @Test("A variable that is unknown is a warning, since Kubernetes sets some for a Service of that name")
  func unknownVariables() throws {
    let loaded = try load(
      someListener,
      environment: [
        ("SIDECAR_TIMEOUT_CONNECT", "5s"), ("SIDECAR_SERVICE_HOST", "10.0.0.1"), ("HOME", "/"),
        ("SIDECAR_CONFIG", "/etc/sidecar.yaml"), ("sidecar_workers", "0"),
      ])
    #expect(
      loaded.warnings.map(\.description) == [
        "environment SIDECAR_TIMEOUT_CONNECT: warning: the variable is unknown and was ignored; "
          + "did you mean SIDECAR_TIMEOUTS_CONNECT?",
        "environment SIDECAR_SERVICE_HOST: warning: the variable is unknown and was ignored",
      ])
  }

  @Test("A flag that is unknown is an error")
  func unknownFlag() {
    #expect(
      errors(someListener, flags: [(flag: "--timeout-connect", value: "5s")]) == [
        "--timeout-connect: the flag is unknown; did you mean --timeouts-connect?"
      ])
  }

  @Test("--forward adds inbound listeners, after those of the file")
  func forwards() throws {
    let forwards = ["127.0.0.1:9000=127.0.0.1:8080", "[::1]:9001=unix:/run/a=b.sock", "0.0.0.0:9002=app:80"]
    let loaded = try load(someListener, forwards: forwards)
    #expect(loaded.configuration.listeners.map(\.name) == ["app", "forward-1", "forward-2", "forward-3"])
    #expect(loaded.configuration.listeners.map(\.direction) == [.inbound, .inbound, .inbound, .inbound])
    #expect(loaded.configuration.listeners.map(\.tls) == [.off, .off, .off, .off])
    #expect(
      loaded.configuration.listeners.map { "\($0.bind)=\($0.target)" } == ["0.0.0.0:15006=127.0.0.1:8080"] + forwards)
  }

  @Test("--forward alone is a whole configuration", arguments: ["", "listeners:\n", "listeners: []\n"])
  func forwardsAlone(_ yaml: String) throws {
    let loaded = try load(yaml, forwards: ["127.0.0.1:9000=127.0.0.1:8080"])
    let listener = Configuration.Listener(
      name: "forward-1", direction: .inbound, bind: SocketAddress("127.0.0.1:9000")!,
      target: .address(SocketAddress("127.0.0.1:8080")!))
    #expect(loaded == Configuration.Loaded(configuration: Configuration(listeners: [listener]), warnings: []))
    #expect(try Configuration.load(file: nil, forwards: ["127.0.0.1:9000=127.0.0.1:8080"]) == loaded)
  }

  @Test("A listener that --forward adds is strict when there is an identity, like any other")
  func forwardWithIdentity() throws {
    let yaml = "identity: {certificate: /a, privateKey: /b, trustBundle: /c}\n"
    let loaded = try load(yaml, forwards: ["127.0.0.1:9000=127.0.0.1:8080"])
    #expect(loaded.configuration.listeners[0].tls == .strict)
  }

  @Test(
    "A wrong --forward says what is wrong with it",
    arguments: [
      (
        "127.0.0.1:9000",
        "--forward: \"127.0.0.1:9000\" has no =; expected LISTEN=TARGET such as 127.0.0.1:9000=127.0.0.1:8080"
      ),
      (
        ":9000=127.0.0.1:8080",
        "--forward :9000=127.0.0.1:8080: listeners[0].bind: \":9000\" has no address; expected an address and a port "
          + "such as 127.0.0.1:15006 or \"[::1]:15006\"; did you mean 0.0.0.0:9000 or 127.0.0.1:9000?"
      ),
      (
        "127.0.0.1:9000=8080",
        "--forward 127.0.0.1:9000=8080: listeners[0].target: \"8080\" has no address; expected host:port, unix:/path or "
          + "original-destination; did you mean 127.0.0.1:8080?"
      ),
      (
        "127.0.0.1:9000=",
        "--forward 127.0.0.1:9000=: listeners[0].target: the value is missing; expected host:port, unix:/path or "
          + "original-destination"
      ),
      (
        "127.0.0.1:9000=127.0.0.1:9000",
        "--forward 127.0.0.1:9000=127.0.0.1:9000: listeners[0].target: 127.0.0.1:9000 leads back to this listener "
          + "(bind: 127.0.0.1:9000); expected the app's own port"
      ),
    ])
  func wrongForward(text: String, message: String) {
    #expect(errors("", forwards: [text]) == [message])
  }

  @Test("Two --forward with one bind name each other")
  func sameForward() {
    #expect(
      errors("", forwards: ["127.0.0.1:1=127.0.0.1:2", "127.0.0.1:1=127.0.0.1:3"]) == [
        "--forward 127.0.0.1:1=127.0.0.1:3: listeners[1].bind: 127.0.0.1:1 is taken by listeners[0].bind "
          + "(127.0.0.1:1, --forward 127.0.0.1:1=127.0.0.1:2); expected another port"
      ])
  }

  @Test("Without a file, an environment or a flag there is nothing to listen on")
  func nothing() {
    #expect {
      try Configuration.load(file: nil)
    } throws: { error in
      "\(error)"
        == "configuration: nothing to listen on; expected listeners in the file, or --forward "
        + "127.0.0.1:9000=127.0.0.1:8080"
    }
  }
}
