// The proxy's own log on standard error: what an operator should know about, one line per event. Used by the control
// thread and its helpers, never by a worker. Nothing secret comes here: callers log names, paths and reasons.

import Glibc
import Synchronization

/// A log with a level that can change while the proxy runs. Safe from any thread: a line is one write(2).
public final class Log: Sendable {
  public typealias Level = Configuration.Log.Level
  public typealias Format = Configuration.Log.Format

  private let descriptor: Int32
  private let threshold: Atomic<UInt8>
  private let writesJSON: Atomic<Bool>

  /// - Parameter descriptor: where lines go; standard error by default. It stays the caller's.
  public init(level: Level = .info, format: Format = .text, descriptor: Int32 = STDERR_FILENO) {
    self.descriptor = descriptor
    threshold = Atomic(level.severity)
    writesJSON = Atomic(format == .json)
  }

  public var level: Level {
    let severity = threshold.load(ordering: .relaxed)
    return Level.allCases.first { $0.severity == severity } ?? .info
  }

  public func setLevel(_ level: Level) { threshold.store(level.severity, ordering: .relaxed) }

  public func setFormat(_ format: Format) { writesJSON.store(format == .json, ordering: .relaxed) }

  public func debug(_ message: @autoclosure () -> String) { write(.debug, message) }
  public func info(_ message: @autoclosure () -> String) { write(.info, message) }
  public func warning(_ message: @autoclosure () -> String) { write(.warning, message) }
  public func error(_ message: @autoclosure () -> String) { write(.error, message) }

  private func write(_ level: Level, _ message: () -> String) {
    guard level.severity >= threshold.load(ordering: .relaxed) else { return }
    let format: Format = writesJSON.load(ordering: .relaxed) ? .json : .text
    let line = Log.line(level, message(), format: format, wallNanoseconds: Clocks.wallNanoseconds)
    // Whoever reads the log may have stalled; a full pipe must not keep the control thread from draining. The pipe can't
    // be made non-blocking, because others write to it as well. A line that doesn't fit is dropped: a log that can't be
    // written to has nowhere to complain.
    var query = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    guard poll(&query, 1, 0) > 0 else { return }
    _ = line.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }

  /// One line with its newline.
  static func line(_ level: Level, _ message: String, format: Format, wallNanoseconds: UInt64) -> [UInt8] {
    switch format {
    case .text:
      var bytes: [UInt8] = []
      bytes.append(rfc3339: wallNanoseconds)
      bytes.append(contentsOf: " \(level.rawValue.uppercased()) ".utf8)
      bytes.appendPrintable(message)
      bytes.append(UInt8(ascii: "\n"))
      return bytes
    case .json:
      var writer = JSONWriter()
      writer.object { line in
        line.key("time")
        line.value(wallNanoseconds: wallNanoseconds)
        line.member("level", level.rawValue)
        line.member("message", message)
      }
      writer.endLine()
      return writer.bytes
    }
  }
}

extension Configuration.Log.Level {
  fileprivate var severity: UInt8 {
    switch self {
    case .debug: 0
    case .info: 1
    case .warning: 2
    case .error: 3
    }
  }
}
