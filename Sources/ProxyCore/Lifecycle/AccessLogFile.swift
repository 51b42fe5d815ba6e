// What the access log is written to: a file, a pipe or a terminal. Owned by the access log's thread, which may wait
// here; `AccessLogFile+Rotation` keeps a file within its size.

import Glibc

/// An open access log.
struct AccessLogFile: ~Copyable {
  /// Why lines did not reach the log.
  struct Failure: Equatable {
    enum Operation: String { case write, rotate }

    let operation: Operation
    let errno: Int32
    /// How many lines of the batch were written before.
    var linesWritten = 0
  }

  /// The path, and how large the file may grow.
  let settings: Configuration.AccessLog
  var descriptor: Int32
  /// How many bytes are in the file; nil when it can't be rotated: a pipe, a terminal, or a path that is a link.
  var size: UInt64?
  /// Nil until a rotation has failed: with which errno, and when to try again, in monotonic nanoseconds.
  var blockedRotation: (errno: Int32, until: UInt64)?
  /// Rotations that the owner has not counted yet.
  var rotations = Rotations()
  /// A write that failed has left a part of a line at the end.
  var endsInsideLine = false

  /// Takes over what `open` returned for the path of the settings.
  init(_ descriptor: Int32, _ settings: Configuration.AccessLog) {
    self.descriptor = descriptor
    self.settings = settings
    size = Self.rotatableSize(descriptor, settings.path)
  }

  deinit { close(descriptor) }

  /// Appends whole lines, and rotates the file before where they would make it too large.
  /// - Parameter awaitRoom: waits until a pipe that is full takes more; false: it isn't to be waited for.
  /// - Returns: nil when all lines are in the log. What was written before a failure stays written.
  mutating func append(_ lines: [UInt8], awaitRoom: (_ descriptor: Int32) -> Bool) -> Failure? {
    if let failure = makeRoom(for: lines.count) { return failure }
    if endsInsideLine, let failure = write([UInt8(ascii: "\n")], awaitRoom) { return failure }
    return write(lines, awaitRoom)
  }

  private mutating func write(_ bytes: [UInt8], _ awaitRoom: (_ descriptor: Int32) -> Bool) -> Failure? {
    bytes.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count >= 0 {
          endsInsideLine = rest[rest.startIndex + count - 1] != UInt8(ascii: "\n")
          rest = rest.dropFirst(count)
          size? += UInt64(count)
        } else {
          let failure = errno
          if failure == EINTR || failure == EAGAIN && awaitRoom(descriptor) { continue }
          let written = bytes[..<rest.startIndex].count { $0 == UInt8(ascii: "\n") }
          return Failure(operation: .write, errno: failure, linesWritten: written)
        }
      }
      return nil
    }
  }

  /// Opens a path for appending.
  /// - Throws: errno.
  static func open(_ path: String, creating: Bool = true) throws(OpenFailure) -> Int32 {
    // Non-blocking, so that a FIFO that nobody reads is refused here and doesn't hang the start.
    let flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | (creating ? O_CREAT : 0)
    let file = Glibc.open(path, flags, 0o640)
    if file >= 0 { return file }
    let failure = errno
    // Standard output can't be opened anew when it is a socket or another user's pipe; a copy of it serves.
    let standard = ["/dev/stdout": STDOUT_FILENO, "/dev/stderr": STDERR_FILENO][path]
    if let standard {
      let copy = fcntl(standard, F_DUPFD_CLOEXEC, 3)
      if copy >= 0 { return copy }
    }
    throw OpenFailure(errno: failure)
  }

  struct OpenFailure: Error { let errno: Int32 }
}
