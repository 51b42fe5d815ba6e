/// Reads the bytes of the configuration file. `Configuration.load` calls it; what the operating system refuses becomes
/// a diagnostic that says how to mend it.

import Glibc

enum ConfigurationFile {
  /// The content of a file, at most one byte more than `SourceText` accepts. At the start a pipe serves as well, such as
  /// /dev/stdin or the shell's `<(…)`.
  ///
  /// - Parameter isReload: whether a proxy serves already, which must not wait for whoever would write into a pipe.
  static func read(_ path: String, isReload: Bool = false) throws(Diagnostic) -> [UInt8] {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw Diagnostic(.error, at: .configuration, "the path of the file is empty or has a zero byte in it")
    }
    // Without O_NONBLOCK, opening a FIFO lasts until somebody opens it for writing (fifo(7)).
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(errno, path: path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(errno, path: path) }
    let isPipe = status.st_mode & S_IFMT == S_IFIFO
    if isPipe && isReload { throw pipeRefusal("can be read only once; only a regular file can be loaded again", path) }
    // At the start nobody is served yet: the program whose output this is may take its time, and so may who types it.
    if !isReload { _ = fcntl(descriptor, F_SETFL, O_RDONLY) }
    var bytes: [UInt8] = []
    while bytes.count <= SourceText.bytesMax {
      let chunk = try readChunk(of: min(65_536, SourceText.bytesMax + 1 - bytes.count), from: descriptor, path: path)
      if chunk.isEmpty { break }
      bytes += chunk
    }
    if isPipe && bytes.isEmpty { throw pipeRefusal("nobody writes to; give the path of a regular file", path) }
    return bytes
  }

  private static func readChunk(of count: Int, from descriptor: CInt, path: String) throws(Diagnostic) -> [UInt8] {
    var code: CInt = 0
    let chunk = [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
      var result: Int
      repeat {
        result = Glibc.read(descriptor, buffer.baseAddress, count)
      } while result < 0 && errno == EINTR
      if result < 0 { code = errno }
      initializedCount = max(0, result)
    }
    if code != 0 { throw failure(code, path: path) }
    return chunk
  }

  private static func pipeRefusal(_ reason: String, _ path: String) -> Diagnostic {
    Diagnostic(.error, at: .wholeFile(path: path), "this is a pipe, which \(reason)")
  }

  private static func failure(_ code: CInt, path: String) -> Diagnostic {
    let mend =
      switch code {
      case ENOENT, ENOTDIR: "check the path, and that the volume with the file is mounted"
      case EACCES, EPERM: "make it readable for uid \(geteuid())"
      case EISDIR: "give the path of the file in it"
      case EAGAIN: "only a regular file can be loaded again"
      case ELOOP: "its symbolic links lead in a circle"
      case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
      default: "check the volume that holds it"
      }
    return Diagnostic(
      .error, at: .wholeFile(path: path), "can't read the file: \(String(cString: strerror(code))); \(mend)")
  }
}
