// What other connections do to the proxy while a test holds it to its promises: they half-close, reset, stall and sit
// idle. Each kind has a listener and an app of its own, so that its traffic can be counted exactly.

import Synchronization

/// Connections that misbehave until they are told to stop. Each checks what it sees itself and throws when it's wrong.
package final class Disturbances: Sendable {
  /// How often each thing was done.
  package struct Counts: Sendable {
    package var clientEndsFirst = 0
    package var serverEndsFirst = 0
    package var clientResets = 0
    package var serverResets = 0
  }

  private static let requestBytes = 300_000
  private static let responseBytes = 200_000
  private static let stalled = 8

  private let clientFirst: AppServer
  private let serverFirst: AppServer
  private let resetting: AppServer
  private let stalling: AppServer
  private let state: State

  private final class State: Sendable {
    let stops = Atomic<Bool>(false)
    /// Resets by a client that the app behind the proxy saw as resets, and as anything else.
    let resetsSeen = Counter()
    let resetsMissed = Counter()
  }

  package init() throws {
    let state = State()
    self.state = state
    // Reads all of the request up to its FIN, then answers and ends.
    clientFirst = try AppServer { connection in
      let (request, ending) = try connection.drain()
      guard ending == .finished else { return }
      try connection.send(Digest.of(request))
      try connection.send([UInt8](repeating: 0x41, count: Self.responseBytes))
    }
    // Speaks and ends first, then reads what the client still has to say and remembers nothing of it.
    serverFirst = try AppServer { connection in
      try connection.send([UInt8](repeating: 0x42, count: Self.responseBytes))
      try connection.finish()
      _ = try connection.drain()
    }
    resetting = try AppServer { connection in
      let command = try connection.receive(exactly: 1)
      try connection.send("k")
      if command == Array("s".utf8) {
        _ = try connection.receive(exactly: 1)
        connection.reset()
      } else {
        switch try connection.ending() {
        case .reset: state.resetsSeen.add()
        case .finished: state.resetsMissed.add()
        }
      }
    }
    stalling = try AppServer.stalling()
  }

  /// The listeners to put before the apps.
  package func listeners() throws -> [SidecarProcess.Listener] {
    [
      try .init("client-first", to: clientFirst), try .init("server-first", to: serverFirst),
      try .init("resets", to: resetting), try .init("stalls", to: stalling),
    ]
  }

  /// Disturbs until `stop`.
  /// - Returns: a job that ends then, and throws when anything was not as it must be.
  package func start(against sidecar: SidecarProcess) -> BackgroundJob<Counts> {
    BackgroundJob { [self] in
      let stalls = try (0..<Self.stalled).map { _ in
        let connection = try sidecar.connect(to: "stalls")
        _ = try connection.sendUntilFull()
        return connection
      }
      let jobs = [endsFirst, endsLast, clientResets, serverResets].map { step in
        BackgroundJob { [state] in
          var count = 0
          // Once at least: on a busy machine the transfers that are disturbed may be the quicker ones.
          repeat {
            try step(sidecar)
            count += 1
          } while !state.stops.load(ordering: .relaxed)
          return count
        }
      }
      // Each is waited for, even when another failed.
      let counts = try jobs.map { job in Result { try job.wait() } }.map { try $0.get() }
      for connection in stalls { connection.reset() }
      try awaitResets(counts[2])
      return Counts(
        clientEndsFirst: counts[0], serverEndsFirst: counts[1], clientResets: counts[2], serverResets: counts[3])
    }
  }

  package func stop() { state.stops.store(true, ordering: .relaxed) }

  private func endsFirst(_ sidecar: SidecarProcess) throws {
    let connection = try sidecar.connect(to: "client-first")
    let request = [UInt8](repeating: UInt8.random(in: 0...255), count: Self.requestBytes)
    try connection.send(request)
    try connection.finish()
    let (response, ending) = try connection.drain()
    let expected = Array(Digest.of(request).utf8) + [UInt8](repeating: 0x41, count: Self.responseBytes)
    guard response == expected, ending == .finished else {
      throw HarnessError("a request that ended first got \(response.count) bytes and \(ending)")
    }
  }

  private func endsLast(_ sidecar: SidecarProcess) throws {
    let connection = try sidecar.connect(to: "server-first")
    let (response, ending) = try connection.drain()
    guard response.count == Self.responseBytes, ending == .finished else {
      throw HarnessError("a server that ended first sent \(response.count) bytes and \(ending)")
    }
    // The other direction lives on.
    try connection.send([UInt8](repeating: 0x43, count: Self.requestBytes))
    try connection.finish()
  }

  private func clientResets(_ sidecar: SidecarProcess) throws {
    let connection = try sidecar.connect(to: "resets")
    try connection.send("c")
    _ = try connection.receive(exactly: 1)
    connection.reset()
  }

  private func serverResets(_ sidecar: SidecarProcess) throws {
    let connection = try sidecar.connect(to: "resets")
    try connection.send("s")
    _ = try connection.receive(exactly: 1)
    try connection.send("!")
    let ending = try connection.ending()
    guard ending == .reset else { throw HarnessError("a server's reset reached the client as \(ending)") }
  }

  private func awaitResets(_ count: Int) throws {
    try eventually("the app has seen \(count) resets") {
      let missed = state.resetsMissed.value
      guard missed == 0 else { throw HarnessError("\(missed) resets of clients reached the app as a FIN") }
      return state.resetsSeen.value == count
    }
  }
}
