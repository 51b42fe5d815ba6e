// Where a worker counts. Each worker has one `MetricBlock` that only it writes; this file gives the cells their
// meaning. The exposition (Lifecycle) sums the blocks of all workers and reads them by the same names.

public import Metrics

/// The layout of a worker's metric block: first the cells of the worker itself, then one series of cells for each
/// listener, once for connections in the clear and once for mutual TLS.
public enum WorkerMetrics {
  /// Counters and gauges of the worker itself.
  public enum Cell: Int, CaseIterable, Sendable {
    /// Loop turns: one entry into the kernel each.
    case turns
    /// Gauge: connection slots that are taken.
    case slotsInUse
    /// Gauge: shared receive buffers that hold bytes on their way.
    case buffersInUse
    /// Gauge: pipes that carry bytes.
    case pipesInUse
    /// Gauge: private chunks that hold bytes for slow readers.
    case chunksInUse
    /// Receives that found no shared buffer and waited for one.
    case receivesStarved
    /// Bulk directions that got no pipe and copied instead.
    case pipesRefused
    /// Times that accepting paused because `limits.connections` was reached.
    case acceptPausedByLimit
    /// Times that accepting paused because descriptors ran out.
    case acceptPausedByDescriptors
  }

  /// Counters of one series of a listener.
  public enum SeriesCell: Int, CaseIterable, Sendable {
    case opened
    /// Bytes from the downstream.
    case receivedBytes
    /// Bytes to the downstream.
    case sentBytes
    case relayedBufferedBytes
    case relayedSplicedBytes
    case relayedTLSBytes
  }

  /// Whether the bytes between the sidecars are encrypted; the label `tls`.
  public enum Encryption: Int, CaseIterable, Sendable {
    case none
    case mutual

    public var label: String {
      switch self {
      case .none: "none"
      case .mutual: "mutual"
      }
    }
  }

  /// Why an attempt to connect to one address of the target failed; the label `reason`.
  public enum ConnectFailure: Int, CaseIterable, Sendable {
    case refused, timeout, unreachable, resolve, loop, descriptors, other

    public var label: String { "\(self)" }
  }

  /// Listeners over the life of a process, reloads included. A listener's number is never reused, so that its
  /// counters never go backwards.
  public static let listenersMax = 256

  /// How a TLS handshake ended; the labels `result` and `resumed`.
  public enum Handshake: Equatable, Sendable {
    case succeeded(resumed: Bool)
    case timeout
    /// Broken off by the peer's end or for a reason that has nothing to do with TLS.
    case aborted
    case failed(TLSFailure)

    public static let allCases: [Handshake] =
      [.succeeded(resumed: false), .succeeded(resumed: true), .timeout, .aborted]
      + TLSFailure.allCases.map(Handshake.failed)

    /// The offset of its cell from `handshakeOffset`.
    public var offset: Int {
      switch self {
      case .succeeded(let resumed): resumed ? 1 : 0
      case .timeout: 2
      case .aborted: 3
      case .failed(let failure): 4 + Int(failure.rawValue)
      }
    }

    public var label: String {
      switch self {
      case .succeeded: "ok"
      case .timeout: "timeout"
      case .aborted: "aborted"
      case .failed(let failure): "\(failure.label)"
      }
    }
  }

  // Offsets within a series.
  public static let closedOffset = SeriesCell.allCases.count
  public static let connectFailureOffset = closedOffset + CloseReason.allCases.count
  public static let handshakeOffset = connectFailureOffset + ConnectFailure.allCases.count
  public static let denialOffset = handshakeOffset + Handshake.allCases.count
  public static let handshakeDurationOffset = denialOffset + AuthorizationPolicy.Denial.allCases.count
  public static let connectDurationOffset = handshakeDurationOffset + HistogramLayout.latency.cellCount
  public static let durationOffset = connectDurationOffset + HistogramLayout.latency.cellCount
  static let seriesCells = durationOffset + HistogramLayout.lifetime.cellCount

  /// The first cell of a listener's series.
  public static func series(listener: Int, encryption: Encryption) -> Int {
    Cell.allCases.count + (listener * Encryption.allCases.count + encryption.rawValue) * seriesCells
  }

  /// Zeroed cells for one worker. Pages become resident as listeners use them.
  public static func allocate() -> MetricBlock {
    MetricBlock.allocate(cells: series(listener: listenersMax, encryption: .none))
  }
}
