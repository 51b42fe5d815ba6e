// Steady traffic around which a test changes something: short connections one after another, and long ones that talk
// all the time. Whatever goes wrong on a connection that was established is an error.

import Glibc
import Synchronization

/// Clients of an echo server behind the sidecar, each on a thread of its own, until `stop`.
package final class LoadGenerator: Sendable {
  private let stops = Atomic<Bool>(false)
  private let roundTrips = Counter()
  private let jobs = Mutex<[BackgroundJob<Int>]>([])

  /// Round trips on all connections so far.
  package var roundTripCount: Int { roundTrips.value }

  /// - Parameters:
  ///   - short: clients that connect, talk a little, end, and connect again, until connecting is refused.
  ///   - long: clients that keep their connection until `stop`.
  package init(to endpoint: Endpoint, short: Int, long: Int) {
    let started = (0..<short).map { _ in
      BackgroundJob { [self] in try connectAgainAndAgain(to: endpoint) }
    }
    let talking = (0..<long).map { _ in
      BackgroundJob { [self] in
        let connection = try Connection(to: endpoint)
        while !stops.load(ordering: .relaxed) { try roundTrip(connection) }
        try end(connection)
        return 1
      }
    }
    jobs.withLock { $0 = started + talking }
  }

  /// Waits until the clients have done some more, so that what comes now comes under load.
  package func awaitProgress(_ count: Int = 200) throws {
    let goal = roundTrips.value + count
    try eventually("\(count) more round trips") {
      for job in jobs.withLock({ $0 }) { try job.rethrow() }
      return roundTrips.value >= goal
    }
  }

  /// Ends all clients in good order.
  /// - Returns: how many connections they had.
  package func stop() throws -> Int {
    stops.store(true, ordering: .relaxed)
    let results = jobs.withLock { $0 }.map { job in Result { try job.wait() } }
    return try results.reduce(0) { $0 + (try $1.get()) }
  }

  private func connectAgainAndAgain(to endpoint: Endpoint) throws -> Int {
    var count = 0
    while !stops.load(ordering: .relaxed) {
      let connection: Connection
      do {
        connection = try Connection(to: endpoint)
      } catch let error as SystemCallError where error.code == ECONNREFUSED {
        return count
      }
      for _ in 0..<10 { try roundTrip(connection) }
      try end(connection)
      count += 1
    }
    return count
  }

  private func roundTrip(_ connection: Connection) throws {
    try connection.ping("0123456789abcdef")
    roundTrips.add()
  }

  private func end(_ connection: Connection) throws {
    try connection.finish()
    let ending = try connection.ending()
    guard ending == .finished else { throw HarnessError("a connection was cut: \(ending)") }
  }
}
