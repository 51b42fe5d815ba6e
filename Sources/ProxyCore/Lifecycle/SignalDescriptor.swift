// Signals as something to poll: the control thread reads them between two other things, and no handler ever runs in
// the middle of a worker's turn. signalfd(2).

import CLinux
import Glibc

/// SIGTERM, SIGINT and SIGHUP of the process.
public struct SignalDescriptor: Sendable {
  let rawValue: Int32

  /// Blocks the signals in the calling thread, and in every thread that it starts from now on; call it first thing in
  /// `main`. SIGPIPE and SIGXFSZ are ignored: a write to a closed pipe, or past the limit on the
  /// size of files, is an error code, not the end of the process.
  public static func blockSignals() {
    var signals = handled()
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }

  /// - Throws: no descriptor was left.
  public init() throws(StartError) {
    var signals = SignalDescriptor.handled()
    rawValue = sidecar_signalfd(&signals)
    guard rawValue >= 0 else {
      let reason = String(cString: strerror(-rawValue))
      throw StartError("signalfd failed: \(reason); raise the limit on open files (ulimit -n)")
    }
  }

  /// Waits for a signal, for the demo's display.
  /// - Returns: nil when the time is over and none came.
  public func wait(milliseconds: Int32) -> Int32? {
    var poll = pollfd(fd: rawValue, events: Int16(POLLIN), revents: 0)
    _ = Glibc.poll(&poll, 1, milliseconds)
    return next()
  }

  /// The next signal that has arrived; nil: none.
  func next() -> Int32? {
    let signal = sidecar_read_signal(rawValue)
    return signal > 0 ? signal : nil
  }

  private static func handled() -> sigset_t {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
    return signals
  }
}
