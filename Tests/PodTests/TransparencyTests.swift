// Goal: with the rules of `init` in place, what comes to the pod and what leaves it goes through the sidecar, over IPv4
// and IPv6, to where it was going, and what has no business there doesn't: the pod's talk with itself, UDP, the
// sidecar's own ports.
// Method: a pod and a peer in network namespaces, real rules, the real sidecar; its counters say what went through.

import TestSupport
import Testing

@Suite("Transparency", .enabled(if: Requirements.areMet, Comment(rawValue: Requirements.text)))
struct TransparencyTests {
  @Test("What comes to the pod goes through the sidecar to the port that it was sent to")
  func inbound() throws {
    let pod = try Pod()
    try pod.redirect()
    let sidecar = try pod.startSidecar()
    for port in [Pod.appPort, 9_999] {
      let apps = try pod.serve(Pod.addresses, port: port, in: pod.pod)
      for address in Pod.addresses {
        let client = try pod.connect(from: pod.peer, to: address, port: port)
        try client.ping()
      }
      #expect(apps.map(\.acceptedCount) == [1, 1])
    }
    let lines = try sidecar.awaitAccessLog(4)
    #expect(
      Set(lines.compactMap { $0["upstream"] })
        == ["10.98.0.2:8080", "[fd98::2]:8080", "10.98.0.2:9999", "[fd98::2]:9999"])
    #expect(Set(lines.compactMap { $0["listener"] }) == ["inbound"])
    try sidecar.stop()
  }

  @Test("What the app sends goes through the sidecar to where it was going")
  func outbound() throws {
    let pod = try Pod()
    try pod.redirect()
    let sidecar = try pod.startSidecar()
    let servers = try pod.serve(Pod.peerAddresses, in: pod.peer)
    for address in Pod.peerAddresses {
      let app = try pod.connect(from: pod.pod, to: address)
      try app.ping()
    }
    #expect(servers.map(\.acceptedCount) == [1, 1])
    let lines = try sidecar.awaitAccessLog(2)
    #expect(Set(lines.compactMap { $0["upstream"] }) == ["10.98.0.1:8080", "[fd98::1]:8080"])
    #expect(Set(lines.compactMap { $0["listener"] }) == ["outbound"])
    try sidecar.stop()
  }

  @Test("An app reaches itself through localhost and through each of the pod's addresses, past the sidecar")
  func toItself() throws {
    let pod = try Pod()
    try pod.redirect()
    let sidecar = try pod.startSidecar()
    let addresses = Pod.addresses + Pod.secondAddresses + ["127.0.0.1", "::1"]
    let apps = try pod.serve(addresses, in: pod.pod)
    for address in addresses {
      let client = try pod.connect(from: pod.pod, to: address)
      try client.ping()
    }
    #expect(apps.allSatisfy { $0.acceptedCount == 1 })
    #expect(try pod.accepted(by: "inbound", of: sidecar) == 0)
    #expect(try pod.accepted(by: "outbound", of: sidecar) == 0)
    try sidecar.stop()
  }

  @Test("A second address of the pod is as transparent as the first")
  func secondAddress() throws {
    let pod = try Pod()
    try pod.redirect()
    let sidecar = try pod.startSidecar()
    let apps = try pod.serve(Pod.secondAddresses, in: pod.pod)
    for address in Pod.secondAddresses {
      let client = try pod.connect(from: pod.peer, to: address)
      try client.ping()
    }
    #expect(apps.map(\.acceptedCount) == [1, 1])
    #expect(try pod.accepted(by: "inbound", of: sidecar) == 2)
    try sidecar.stop()
  }

  @Test("Whoever connects straight to a listener is reset, and the sidecar never connects to itself")
  func straightToTheListeners() throws {
    let pod = try Pod()
    try pod.redirect()
    let sidecar = try pod.startSidecar()
    var count = 0
    for port in [Pod.inboundPort, Pod.outboundPort] {
      for address in Pod.addresses + Pod.secondAddresses {
        for namespace in [pod.peer, pod.pod] {
          let client = try pod.connect(from: namespace, to: address, port: port)
          #expect(try client.ending() == .reset, "\(namespace.name) to \(address), port \(port)")
          count += 1
        }
      }
    }
    // As many as there were clients: a connection of the sidecar to itself would be one more.
    let lines = try sidecar.awaitAccessLog(count)
    #expect(lines.count == count)
    #expect(Set(lines.compactMap { $0["reason"] }) == ["connect_loop"])
    #expect(try pod.accepted(by: "inbound", of: sidecar) + pod.accepted(by: "outbound", of: sidecar) == count)
    try sidecar.stop()
  }

  @Test("A sidecar whose own connections are led back to it finds out, in place of connecting to itself without end")
  func wrongUser() throws {
    let pod = try Pod()
    // The rules pass over 1337.
    try pod.redirect()
    let sidecar = try pod.startSidecar(uid: 1_338)
    let servers = try pod.serve(Pod.peerAddresses, in: pod.peer)
    for address in Pod.peerAddresses {
      for _ in 0..<4 {
        let app = try? pod.connect(from: pod.pod, to: address)
        #expect(try app?.ending() ?? .reset == .reset)
      }
    }
    #expect(servers.map(\.acceptedCount) == [0, 0])
    let opened = try pod.accepted(by: "outbound", of: sidecar)
    let loops = try sidecar.awaitAccessLog(opened).filter { $0["reason"] == "connect_loop" }
    // One per connection of the app's. How far each got before that is a matter of how its steps fell to the workers.
    #expect(loops.count == 8)
    #expect(opened < 200, "\(opened) connections for 8")
    try sidecar.stop()
  }

  @Test("Control, metrics and health are reached directly")
  func endpoints() throws {
    let pod = try Pod()
    try pod.redirect()
    let sidecar = try pod.startSidecar()
    for port: UInt16 in [15_000, 15_020] {
      let endpoints = try pod.serve(Pod.addresses, port: port, in: pod.pod)
      for address in Pod.addresses {
        let client = try pod.connect(from: pod.peer, to: address, port: port)
        try client.ping()
      }
      #expect(endpoints.map(\.acceptedCount) == [1, 1])
    }
    #expect(try pod.accepted(by: "inbound", of: sidecar) == 0)
    try sidecar.stop()
  }

  @Test("UDP passes by in both directions")
  func datagrams() throws {
    let pod = try Pod()
    try pod.redirect()
    // No sidecar: TCP would be refused.
    for (address, server, client) in [
      (Pod.addresses[0], pod.pod, pod.peer), (Pod.addresses[1], pod.pod, pod.peer),
      (Pod.peerAddresses[0], pod.peer, pod.pod), (Pod.peerAddresses[1], pod.peer, pod.pod),
    ] {
      let endpoint = Endpoint.tcp(address: address, port: 5_353)
      let receiver = try server.inside { try DatagramSocket(boundTo: endpoint) }
      let sender = try client.inside { try DatagramSocket(connectedTo: endpoint) }
      try sender.send("query")
      #expect(try receiver.receive() == "query")
    }
  }

  @Test("Without the sidecar connections are refused, never let through in the clear")
  func withoutSidecar() throws {
    let pod = try Pod()
    try pod.redirect()
    let apps = try pod.serve(Pod.addresses, in: pod.pod)
    let servers = try pod.serve(Pod.peerAddresses, in: pod.peer)
    for (address, namespace) in Pod.addresses.map({ ($0, pod.peer) }) + Pod.peerAddresses.map({ ($0, pod.pod) }) {
      #expect(throws: SystemCallError.self) { _ = try pod.connect(from: namespace, to: address) }
    }
    #expect((apps + servers).allSatisfy { $0.acceptedCount == 0 })
  }
}
