// The client of the demo: a few connections, each sending a message and waiting for it to come back, over and over.
// Closed-loop: it shows traffic flowing and roughly how fast; the benchmark measures.

import Glibc
import Metrics
import ProxyCore
import Synchronization

/// Clients of one address, each on its own thread.
final class LoadClient: Sendable {
  /// Bytes of a message: a typical small response.
  static let messageBytes = 4_096
  /// Then the client connects anew, so that resumption is seen at work.
  static let messagesPerConnection = 10_000
  /// Fine enough to tell percentiles from: each bound is a tenth above the one before, from 10 µs to 10 s.
  private static let layout: HistogramLayout = {
    var bounds: [UInt64] = [10_000]
    while bounds[bounds.count - 1] < 10_000_000_000 { bounds.append(bounds[bounds.count - 1] * 11 / 10) }
    return HistogramLayout(upperBounds: bounds)
  }()

  private let address: SocketAddress
  /// One per thread, since a block has one writer.
  private let blocks: [MetricBlock]
  private let isStopping = Atomic<Bool>(false)
  private let threads = Mutex<[PosixThread]>([])

  init(connections: Int, to address: SocketAddress) {
    self.address = address
    blocks = (0..<connections).map { _ in MetricBlock.allocate(cells: Self.layout.cellCount) }
    for block in blocks {
      threads.withLock { $0.append(PosixThread.start(name: "demo-client") { self.run(block) }) }
    }
  }

  /// Messages that came back since the start.
  func counts() -> Counts { Counts(cells: MetricBlock.sum(of: blocks), layout: Self.layout) }

  /// Lets each client finish its message.
  func stop() {
    isStopping.store(true, ordering: .relaxed)
    for thread in threads.withLock({ $0 }) { thread.join() }
  }

  private func run(_ block: MetricBlock) {
    while !isStopping.load(ordering: .relaxed) {
      guard let connection = connect() else {
        // The sidecar is gone or not there yet; a short pause keeps this from spinning.
        usleep(10_000)
        continue
      }
      converse(connection, block)
      close(connection)
    }
  }

  private func connect() -> Int32? {
    let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard connection >= 0 else { return nil }
    guard address.withSockAddr({ Glibc.connect(connection, $0, $1) }) == 0 else {
      close(connection)
      return nil
    }
    DemoSocket.disableDelay(connection)
    return connection
  }

  private func converse(_ connection: Int32, _ block: MetricBlock) {
    let message = [UInt8](repeating: 0x2a, count: Self.messageBytes)
    var answer = [UInt8](repeating: 0, count: Self.messageBytes)
    for _ in 0..<Self.messagesPerConnection where !isStopping.load(ordering: .relaxed) {
      let begin = Clocks.monotonicNanoseconds
      guard DemoSocket.sendAll(connection, message[...]) else { return }
      guard recv(connection, &answer, answer.count, Int32(MSG_WAITALL)) == answer.count else { return }
      Self.layout.record(nanoseconds: Clocks.monotonicNanoseconds - begin, in: block, at: 0)
    }
  }

  /// Round trips by their duration, up to some moment.
  struct Counts {
    fileprivate var cells: [UInt64]
    fileprivate var layout: HistogramLayout

    var messages: UInt64 { cells[...layout.boundCount].reduce(0, +) }

    /// What was counted between an earlier moment and this one.
    func since(_ earlier: Counts) -> Counts {
      Counts(cells: zip(cells, earlier.cells).map { $0 &- $1 }, layout: layout)
    }

    /// The duration that this share of the round trips didn't exceed, in nanoseconds, to a tenth; 0 without any.
    func percentile(_ share: Double) -> UInt64 {
      let wanted = UInt64((Double(messages) * share).rounded(.up))
      var seen: UInt64 = 0
      for index in 0..<layout.boundCount {
        seen += cells[index]
        if seen >= wanted && seen > 0 { return layout[bound: index] }
      }
      return messages == 0 ? 0 : layout[bound: layout.boundCount - 1]
    }
  }
}
