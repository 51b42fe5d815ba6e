// The access log's thread: takes the workers' records, formats them, writes them. It blocks as long as its sink does,
// and nobody waits for it: the workers' queues fill up and count what they drop.

import Glibc
import IOUring
import Synchronization

/// Writes the access log to one file, pipe or terminal.
final class AccessLogWriter: Sendable {
  /// One queue per worker.
  let queues: [AccessRecordQueue]

  /// Records whose write failed; those that found a queue full are counted by the queues.
  private let unwritten = Atomic<UInt64>(0)
  private let rotated = Atomic<UInt64>(0)
  private let rotationsFailed = Atomic<UInt64>(0)
  private let settings: Mutex<Configuration.AccessLog>
  private let wantsReopen = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  private let wake: Descriptor
  private let directory: ListenerDirectory
  private let log: Log
  private let thread = Mutex<PosixThread?>(nil)
  /// Readable once the thread has ended.
  private let ended: Descriptor

  /// Lines are collected up to this size and then written at once.
  private static let batchBytes = 32_768
  /// How long the end of the process waits for a sink that has stalled.
  private static let finishTimeoutMilliseconds: Int32 = 1_000
  /// Write errors are logged once in this while: a full disk would otherwise fill the other log too.
  private static let complaintNanoseconds: UInt64 = 60_000_000_000

  /// Opens the log and starts its thread.
  init(
    _ settings: Configuration.AccessLog, workers: Int, directory: ListenerDirectory, log: Log
  ) throws(StartError) {
    do throws(KernelError) {
      wake = try EventDescriptor.make()
      ended = try EventDescriptor.make()
    } catch {
      throw StartError("no descriptor is left for the access log; raise the limit on open files (ulimit -n)")
    }
    let wake = wake
    queues = (0..<workers).map { _ in AccessRecordQueue(wakeDescriptor: wake) }
    self.settings = Mutex(settings)
    self.directory = directory
    self.log = log
    let descriptor = try AccessLogWriter.open(settings.path)
    thread.withLock { $0 = .start(name: "access-log") { self.run(AccessLogFile(descriptor, settings)) } }
  }

  deinit {
    close(wake.rawValue)
    close(ended.rawValue)
  }

  /// Records that never reached the log.
  var droppedCount: UInt64 {
    queues.reduce(unwritten.load(ordering: .relaxed)) { $0 + $1.droppedCount }
  }

  /// How rotations by size have ended.
  var rotations: AccessLogFile.Rotations {
    AccessLogFile.Rotations(
      succeeded: rotated.load(ordering: .relaxed), failed: rotationsFailed.load(ordering: .relaxed))
  }

  /// Opens the path anew, after logrotate(8) has renamed the file or the settings have changed.
  func reopen(_ newSettings: Configuration.AccessLog) {
    settings.withLock { $0 = newSettings }
    wantsReopen.store(true, ordering: .releasing)
    EventDescriptor.notify(wake)
  }

  /// Writes what has arrived and ends the thread. Called after the workers have ended.
  func finish() {
    isStopping.store(true, ordering: .releasing)
    EventDescriptor.notify(wake)
    var poll = pollfd(fd: ended.rawValue, events: Int16(POLLIN), revents: 0)
    // A stalled sink keeps its thread; the process ends without it.
    let hasEnded = Glibc.poll(&poll, 1, Self.finishTimeoutMilliseconds) > 0
    thread.withLock { thread in
      if hasEnded { thread?.join() } else { thread?.detach() }
    }
  }

  // MARK: The thread

  private func run(_ initialFile: consuming AccessLogFile) {
    var file = initialFile
    var formatter = AccessLogFormatter(format: file.settings.format)
    var complainedAt: UInt64?
    warnOfRotation(file)
    while true {
      if wantsReopen.exchange(false, ordering: .acquiring) { reopenFile(&file, &formatter) }
      // Read before the queues: what arrived before `finish` is written.
      let stops = isStopping.load(ordering: .acquiring)
      let records = format(into: &formatter)
      if records > 0 {
        if let failure = file.append(formatter.bytes, awaitRoom: awaitRoom) {
          unwritten.wrappingAdd(UInt64(records - failure.linesWritten), ordering: .relaxed)
          complain(failure, &complainedAt)
        }
        publish(&file.rotations)
        formatter.reset()
        continue
      }
      if stops { break }
      sleep()
    }
    EventDescriptor.notify(ended)
  }

  /// Pops up to a batch of records from all queues in turn.
  private func format(into formatter: inout AccessLogFormatter) -> Int {
    var records = 0
    formatter.readClocks()
    for queue in queues {
      // A busy worker's queue must not keep the others' waiting: one queue's length at most per round.
      for _ in 0..<AccessRecordQueue.capacity where formatter.bytes.count < Self.batchBytes {
        guard let record = queue.pop() else { break }
        formatter.append(record, listener: directory[record.listener])
        record.principal?.free()
        records += 1
      }
    }
    return records
  }

  private func sleep() {
    guard queues.allSatisfy({ $0.prepareToSleep() }) else { return }
    var poll = pollfd(fd: wake.rawValue, events: Int16(POLLIN), revents: 0)
    _ = Glibc.poll(&poll, 1, -1)
    EventDescriptor.acknowledge(wake)
  }

  /// Waits for a sink that has stalled; false when the log is to be written elsewhere. The end of the process doesn't end the
  /// wait: `finish` grants the sink a last moment.
  private func awaitRoom(in sink: Int32) -> Bool {
    while !wantsReopen.load(ordering: .acquiring) {
      var polls = [
        pollfd(fd: sink, events: Int16(POLLOUT), revents: 0),
        pollfd(fd: wake.rawValue, events: Int16(POLLIN), revents: 0),
      ]
      _ = Glibc.poll(&polls, 2, -1)
      if polls[0].revents != 0 { return true }
      EventDescriptor.acknowledge(wake)
    }
    return false
  }

  private func reopenFile(_ file: inout AccessLogFile, _ formatter: inout AccessLogFormatter) {
    let settings = settings.withLock { $0 }
    formatter.format = settings.format
    do throws(StartError) {
      file = AccessLogFile(try AccessLogWriter.open(settings.path), settings)
      warnOfRotation(file)
    } catch {
      log.warning("\(error); the access log goes on in the old file")
    }
  }

  /// Moves the counts to where other threads read them.
  private func publish(_ rotations: inout AccessLogFile.Rotations) {
    rotated.wrappingAdd(rotations.succeeded, ordering: .relaxed)
    rotationsFailed.wrappingAdd(rotations.failed, ordering: .relaxed)
    rotations = AccessLogFile.Rotations()
  }

  private func warnOfRotation(_ file: borrowing AccessLogFile) {
    guard let problem = file.rotationProblem else { return }
    log.warning(
      "access log \(file.settings.path): \(problem); lines will be dropped when it is full (accessLog.maxSize)")
  }

  private func complain(_ failure: AccessLogFile.Failure, _ complainedAt: inout UInt64?) {
    let now = Clocks.monotonicNanoseconds
    if let last = complainedAt, now - last < Self.complaintNanoseconds { return }
    complainedAt = now
    let path = settings.withLock { $0.path }
    log.error(
      "access log \(path): can't \(failure.operation.rawValue): \(String(cString: strerror(failure.errno))); "
        + "lines are dropped and counted in sidecar_access_log_dropped_total")
  }

  private static func open(_ path: String) throws(StartError) -> Int32 {
    do throws(AccessLogFile.OpenFailure) {
      return try AccessLogFile.open(path)
    } catch {
      throw refusal(path, error.errno)
    }
  }

  static func refusal(_ path: String, _ error: Int32) -> StartError {
    StartError(
      "access log \(path): can't open: \(String(cString: strerror(error))); "
        + "choose a path that uid \(geteuid()) can write to (accessLog.path) or turn it off (accessLog.format: off)")
  }
}
