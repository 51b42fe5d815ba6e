// Goal: a stream ends for the receiver as it ended for the sender: a FIN is a FIN, after the last byte and in one
// direction only; a reset is a reset, even on the way to somebody who isn't reading.
// Method: one connection for each way to end, from either side, seen from the other.

import TestSupport
import Testing

@Suite("Endings")
struct EndingTests {
  private static let bytes = 3_000_000

  @Test("The client's FIN reaches the app after the last byte, and the answer still comes")
  func clientEndsFirst() throws {
    let app = try AppServer { connection in
      let (request, ending) = try connection.drain()
      guard ending == .finished else { return connection.reset() }
      try connection.send("\(request.count)")
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    try client.send([UInt8](repeating: 1, count: Self.bytes))
    try client.finish()
    let (answer, ending) = try client.drain()
    #expect(String(decoding: answer, as: UTF8.self) == "\(Self.bytes)")
    #expect(ending == .finished)
    try sidecar.awaitClosed("downstream_closed")
    try sidecar.stop()
  }

  @Test("The app's FIN reaches the client after the last byte, and what the client still says arrives")
  func serverEndsFirst() throws {
    let counts = Counter()
    let app = try AppServer { connection in
      try connection.send([UInt8](repeating: 2, count: Self.bytes))
      try connection.finish()
      let (rest, ending) = try connection.drain()
      if ending == .finished { counts.add(rest.count) }
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    let (greeting, ending) = try client.drain()
    #expect(greeting.count == Self.bytes)
    #expect(ending == .finished)
    try client.send([UInt8](repeating: 3, count: Self.bytes))
    try client.finish()
    try eventually("the app has read all") { counts.value == Self.bytes }
    try sidecar.awaitClosed("upstream_closed")
    try sidecar.stop()
  }

  @Test("The client's reset reaches the app as a reset")
  func clientResets() throws {
    let resets = Counter()
    let app = try AppServer { connection in
      try connection.send("hello")
      if try connection.ending() == .reset { resets.add(1) }
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    _ = try client.receive(exactly: 5)
    client.reset()
    try eventually("the app has seen a reset") { resets.value == 1 }
    try sidecar.awaitClosed("downstream_reset")
    try sidecar.stop()
  }

  @Test("The app's reset reaches the client as a reset")
  func serverResets() throws {
    let app = try AppServer { connection in
      _ = try connection.receive(exactly: 5)
      connection.reset()
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    try client.send("hello")
    #expect(try client.ending() == .reset)
    try sidecar.awaitClosed("upstream_reset")
    try sidecar.stop()
  }

  @Test("A reset after a FIN the other way is still a reset", arguments: ["client", "app"])
  func resetAfterHalfClose(by side: String) throws {
    let resets = Counter()
    let app = try AppServer { connection in
      if side == "app" {
        guard try connection.ending() == .finished else { return }
        connection.reset()
      } else {
        try connection.finish()
        if try connection.ending() == .reset { resets.add(1) }
      }
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    if side == "app" {
      try client.finish()
      #expect(try client.ending() == .reset)
      try sidecar.awaitClosed("upstream_reset")
    } else {
      #expect(try client.ending() == .finished)
      client.reset()
      try eventually("the app has seen a reset") { resets.value == 1 }
      try sidecar.awaitClosed("downstream_reset")
    }
    try sidecar.stop()
  }

  @Test("A client's reset reaches an app that has stopped reading")
  func resetTowardsStalledApp() throws {
    let app = try AppServer.stalling()
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    _ = try client.sendUntilFull()
    client.reset()
    try sidecar.awaitClosed("downstream_reset")
    try eventually("the app's end has hung up") { app.servedCount == 0 }
    try sidecar.stop()
  }

  @Test("An app's reset reaches a client that has stopped reading")
  func resetTowardsStalledClient() throws {
    let app = try AppServer { connection in
      _ = try connection.sendUntilFull()
      connection.reset()
    }
    let sidecar = try SidecarProcess([.init(to: app)])
    let client = try sidecar.connect()
    try sidecar.awaitClosed("upstream_reset")
    #expect(try client.ending() == .reset)
    try sidecar.stop()
  }
}
