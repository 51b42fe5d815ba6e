// Notices that the configuration or the identity's files have changed, however that was done: written in place, renamed
// over, or swapped by the kubelet through the `..data` symlink of a mounted volume. Made before the files are read, so
// that no change falls in between; owned by the control thread from `Proxy.run` on. inotify(7).

import Glibc

/// Watches the directories of some files. The events only say that something there moved; whether a file is another one
/// is asked of the file itself, through all symlinks, once the events have calmed down.
public struct FileWatch: Sendable {
  /// Poll this for readability.
  let descriptor: Int32
  private let paths: [String]
  private var debounce = Debounce()
  private var seen: [FileIdentity?]

  /// - Throws: the host gives no inotify instance or watch; then SIGHUP still reloads.
  public init(paths: [String]) throws(StartError) {
    descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    guard descriptor >= 0 else { throw FileWatch.refusal(paths[0]) }
    self.paths = paths
    let events = UInt32(IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE | IN_ATTRIB)
    for path in paths where inotify_add_watch(descriptor, FileWatch.directory(of: path), events) < 0 {
      let refusal = FileWatch.refusal(path)
      Glibc.close(descriptor)
      throw refusal
    }
    seen = paths.map { FileIdentity(path: $0) }
  }

  func close() { _ = Glibc.close(descriptor) }

  /// When `changed` wants to be called.
  var deadline: UInt64? { debounce.deadline }

  /// Takes the events that have arrived.
  mutating func readEvents(now: UInt64) {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while read(descriptor, &buffer, buffer.count) > 0 { debounce.event(now: now) }
  }

  /// Whether a file is another one than when this last said so. False while one is missing: a rename is on its way.
  mutating func changed(now: UInt64) -> Bool {
    guard debounce.fire(now: now) else { return false }
    let identities = paths.map { FileIdentity(path: $0) }
    guard !identities.contains(nil), identities != seen else { return false }
    seen = identities
    return true
  }

  /// Remembers the files as they are now, because they were loaded for another reason.
  mutating func loaded() { seen = paths.map { FileIdentity(path: $0) } }

  private static func refusal(_ path: String) -> StartError {
    StartError(
      "\(path): can't watch for changes: \(String(cString: strerror(errno))); SIGHUP still reloads "
        + "(fs.inotify.max_user_instances and max_user_watches limit watching)")
  }

  static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}

/// What tells one version of a file from the next, without reading it. stat(2) follows symlinks.
private struct FileIdentity: Equatable, Sendable {
  var device: UInt64
  var inode: UInt64
  var size: Int
  var modifiedSeconds: Int
  var modifiedNanoseconds: Int

  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int(status.st_size)
    modifiedSeconds = status.st_mtim.tv_sec
    modifiedNanoseconds = status.st_mtim.tv_nsec
  }
}
