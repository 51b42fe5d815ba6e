// What a worker shares with the rest of the process. Made by the control thread before the worker starts.

public import IOUring
public import Metrics

/// The ends that a worker and the control thread hold in common. Everything here outlives the worker's thread.
public struct WorkerLinks: Sendable {
  /// 0 for the first worker.
  public var index: Int
  public var mailbox: Mailbox
  /// Written by this worker only; laid out by `WorkerMetrics`.
  public var metrics: MetricBlock
  /// Nil when there is no access log.
  public var accessLog: AccessRecordQueue?
  public var budget: ConnectionBudget
  /// The control thread's eventfd: notified whenever one more connection comes or the worker's last one ends in a drain,
  /// half a second after TLS has given back memory, and when the worker has left its loop.
  public var controlWake: Descriptor
  /// Connections that this worker has room for. Only address space (`WorkerMemory`): a slot costs memory from its first use on.
  public var slotsMax: Int

  public init(
    index: Int, mailbox: Mailbox, metrics: MetricBlock, accessLog: AccessRecordQueue?, budget: ConnectionBudget,
    controlWake: Descriptor, slotsMax: Int
  ) {
    self.index = index
    self.mailbox = mailbox
    self.metrics = metrics
    self.accessLog = accessLog
    self.budget = budget
    self.controlWake = controlWake
    self.slotsMax = slotsMax
  }
}
