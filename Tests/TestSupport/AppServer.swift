// The app behind the sidecar: accepts connections and serves each on a thread of its own.

import Glibc
import Synchronization

/// A server for tests. Stops with the last reference.
package final class AppServer: Sendable {
  package typealias Handler = @Sendable (Connection) throws -> Void

  package let endpoint: Endpoint
  private let core: Core
  private let acceptor: BackgroundJob<Void>

  /// - Parameters:
  ///   - endpoint: nil: a free port on 127.0.0.1.
  ///   - handler: serves one connection, which is closed when it returns. What it throws ends just that connection:
  ///     tests judge a server by what its clients see.
  package init(at endpoint: Endpoint? = nil, handler: @escaping Handler) throws {
    let socket = try endpoint.map { try ListeningSocket($0) } ?? ListeningSocket()
    self.endpoint = socket.endpoint
    let core = Core(socket: socket, handler: handler)
    self.core = core
    acceptor = BackgroundJob { core.acceptAll() }
  }

  deinit { stop() }

  /// Connections that were accepted so far.
  package var acceptedCount: Int { core.state.withLock { $0.acceptedCount } }

  /// Connections that are being served.
  package var servedCount: Int { core.state.withLock { $0.served.count } }

  /// Ends all connections and waits for their threads.
  package func stop() {
    core.stop()
    try? acceptor.wait()
    core.join()
  }

  /// Sends back what it gets, and the FIN when it gets one.
  package static func echo(at endpoint: Endpoint? = nil) throws -> AppServer {
    try AppServer(at: endpoint) { connection in
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
      defer { buffer.deallocate() }
      while case let count = try connection.receive(into: buffer), count > 0 {
        try connection.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      }
    }
  }

  /// Never reads, never writes, and closes when the other side is gone.
  package static func stalling(at endpoint: Endpoint? = nil) throws -> AppServer {
    try AppServer(at: endpoint) { $0.awaitHangUp() }
  }

  private final class Core: Sendable {
    let socket: ListeningSocket
    let handler: Handler
    let state = Mutex(State())

    struct State {
      var acceptedCount = 0
      var served: [ObjectIdentifier: Connection] = [:]
      var threads: [BackgroundJob<Void>] = []
      var isStopped = false
    }

    init(socket: ListeningSocket, handler: @escaping Handler) {
      self.socket = socket
      self.handler = handler
    }

    func acceptAll() {
      while !state.withLock({ $0.isStopped }) {
        // A deadline without a client is no reason to stop serving.
        if let connection = try? socket.accept() { serve(connection) }
      }
    }

    private func serve(_ connection: Connection) {
      state.withLock { state in
        guard !state.isStopped else { return }
        state.acceptedCount += 1
        // A thread's stack is given back when it is joined, which is what its end of life does.
        state.threads.removeAll { $0.isFinished }
        state.served[ObjectIdentifier(connection)] = connection
        state.threads.append(
          BackgroundJob { [self] in
            try? handler(connection)
            self.state.withLock { _ = $0.served.removeValue(forKey: ObjectIdentifier(connection)) }
            connection.close()
          })
      }
    }

    func stop() {
      state.withLock { state in
        state.isStopped = true
        for connection in state.served.values { connection.abandon() }
      }
      socket.stop()
    }

    func join() {
      for thread in state.withLock({ $0.threads }) { try? thread.wait() }
    }
  }
}
