// The relay by itself: the real worker on a kernel without sockets, one message from the client to the app.

internal import IOUring
internal import Metrics

@testable internal import ProxyCore

/// A worker with one connection that relays.
final class RelaySubject: Subject {
  private let metrics = WorkerMetrics.allocate()
  private var worker: Worker<MessageKernel>

  override init() throws {
    worker = Worker(
      kernel: MessageKernel(),
      links: WorkerLinks(
        index: 0, mailbox: Mailbox(wakeDescriptor: Self.wake), metrics: metrics, accessLog: nil,
        budget: ConnectionBudget(limit: 1_000_000, workerWakes: [Self.wake]), controlWake: Self.wake, slotsMax: 16),
      settings: WorkerSettings(Configuration.Timeouts()))
    try super.init()
    establish()
  }

  deinit { metrics.deallocate() }

  private static let wake = Descriptor(rawValue: 1_000_010)

  /// Until the one connection relays.
  private func establish() {
    let address = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 1)
    worker.addListener(
      ListenerID(rawValue: 0), MessageKernel.listener,
      ListenerPlan(
        Configuration.Listener(name: "l", direction: .inbound, bind: address, target: .address(address)),
        destination: .addresses([TargetAddress(address)])))
    // Accepted, connected, and nothing left over.
    for _ in 0..<4 { worker.turn() }
    precondition(worker.connections.contains(0) && worker.connections[0].pointee.phase == .relaying)
  }

  override var systemCalls: Int { worker.kernel.systemCalls }

  /// Each time until the app has the message and the worker knows.
  override func run(times: Int64) {
    let sentBefore = worker.kernel.messagesSent
    for _ in 0..<times {
      worker.kernel.messageBytes = 64
      worker.turn()
      worker.turn()
    }
    precondition(worker.kernel.messagesSent - sentBefore == Int(times), "a message took more than two turns")
  }
}
