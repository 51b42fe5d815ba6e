// Rotation by size: a file that would grow beyond `accessLog.maxSize` becomes `.1`, the one that was `.1` becomes `.2`,
// and the last of `accessLog.maxFiles` goes. The limit is a hard one, since the volume is often shared with the app:
// where a file can't be rotated, lines are dropped and counted. Nobody but the log's own thread ever waits for it.

import Glibc

extension AccessLogFile {
  /// How rotations ended.
  struct Rotations: Equatable {
    var succeeded: UInt64 = 0
    var failed: UInt64 = 0
  }

  /// After a failure it is tried again in this while, not with every batch of lines.
  private static var retryNanoseconds: UInt64 { 1_000_000_000 }

  /// Rotates the file when so many more bytes would make it too large. A batch that is larger than a whole file may be
  /// gets a file of its own.
  /// - Returns: nil when there is room.
  mutating func makeRoom(for count: Int) -> Failure? {
    guard isFull(adding: count) else { return nil }
    let now = Clocks.monotonicNanoseconds
    if let blocked = blockedRotation, now < blocked.until { return Failure(operation: .rotate, errno: blocked.errno) }
    do throws(RotationFailure) {
      // Another program may have truncated the file, or renamed it and forgotten the signal.
      if isAtItsPath { size = Self.rotatableSize(descriptor, settings.path) } else { try openAnew() }
      guard isFull(adding: count) else { return nil }
      try shift()
      try openAnew()
      rotations.succeeded += 1
      blockedRotation = nil
      return nil
    } catch {
      rotations.failed += 1
      blockedRotation = (error.errno, now + Self.retryNanoseconds)
      return Failure(operation: .rotate, errno: error.errno)
    }
  }

  /// What will keep the file from being rotated, for the log's reader to mend before it is full; nil: nothing.
  var rotationProblem: String? {
    guard size != nil, settings.maxSize != nil else { return nil }
    let directory = String(settings.path[...(settings.path.lastIndex(of: "/") ?? settings.path.startIndex)])
    guard access(directory, W_OK | X_OK) != 0 else { return nil }
    return "can't be rotated: \(directory) is not writable: \(String(cString: strerror(errno)))"
  }

  /// The size of an open file that can be rotated: a regular one that is at its path, not behind a link. The standard
  /// output of a shell's `>` is a file too, but /dev/stdout is not its name.
  static func rotatableSize(_ descriptor: Int32, _ path: String) -> UInt64? {
    guard let open = status(of: descriptor), open.st_mode & S_IFMT == S_IFREG else { return nil }
    guard let named = status(at: path), named.st_ino == open.st_ino, named.st_dev == open.st_dev else { return nil }
    return UInt64(open.st_size)
  }

  private func isFull(adding count: Int) -> Bool {
    guard let size, size > 0, let sizeMax = settings.maxSize else { return false }
    return size + UInt64(count) > sizeMax.bytes
  }

  /// Whether the path still leads to the open file.
  private var isAtItsPath: Bool { Self.rotatableSize(descriptor, settings.path) != nil }

  /// Moves each file to the next number, the oldest first, so that an end in the middle loses none but the one that had
  /// to go. rename(2) replaces its target atomically.
  private func shift() throws(RotationFailure) {
    let path = settings.path
    let oldest = settings.maxFiles - 1
    for number in stride(from: oldest, through: 1, by: -1) {
      let from = number == 1 ? path : "\(path).\(number - 1)"
      guard rename(from, "\(path).\(number)") == 0 else {
        // There are fewer files yet.
        if errno == ENOENT, number > 1 { continue }
        throw RotationFailure(errno: errno)
      }
    }
    // What an earlier setting has kept.
    var superfluous = oldest + 1
    while unlink("\(path).\(superfluous)") == 0 { superfluous += 1 }
  }

  /// The file keeps its descriptor until the new one is open.
  private mutating func openAnew() throws(RotationFailure) {
    do throws(OpenFailure) {
      let new = try Self.open(settings.path)
      close(descriptor)
      descriptor = new
      endsInsideLine = false
      size = Self.rotatableSize(new, settings.path)
    } catch {
      throw RotationFailure(errno: error.errno)
    }
  }

  private static func status(of descriptor: Int32) -> stat? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? status : nil
  }

  private static func status(at path: String) -> stat? {
    var status = stat()
    return lstat(path, &status) == 0 ? status : nil
  }

  private struct RotationFailure: Error { let errno: Int32 }
}
