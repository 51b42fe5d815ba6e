// Notices that files have changed, however that was done: written in place, renamed over, or swapped by the kubelet
// through the `..data` symlink of a mounted volume. One watches the configuration, one the identity. Made before the
// files are read, so that no change falls in between; owned by the control thread from `Proxy.run` on. inotify(7).

import Glibc

/// Watches the directories of some files. The events only say that something there moved; whether a file is another one
/// is asked of the file itself, through all symlinks, once the events have calmed down.
public struct FileWatch: Sendable {
  /// Poll this for readability.
  let descriptor: Int32
  private let paths: [String]
  private var directories: Set<Int32> = []
  private var debounce = Debounce()
  /// Nil for a file that is missing.
  private var seen: [FileIdentity?] = []

  /// - Throws: the host gives no inotify instance or watch; then SIGHUP still reloads.
  public init(paths: [String]) throws(StartError) {
    descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    self.paths = paths
    guard descriptor >= 0 else { throw FileWatch.refusal(paths.joined(separator: ", ")) }
    for path in paths where watch(FileWatch.directory(of: path)) == nil {
      let refusal = FileWatch.refusal(path)
      Glibc.close(descriptor)
      throw refusal
    }
    loaded()
  }

  func close() { _ = Glibc.close(descriptor) }

  /// When `changed` wants to be called.
  var deadline: UInt64? { debounce.deadline }

  /// Takes the events that have arrived. Some at a time: whoever keeps a directory busy must not keep the control thread
  /// from its signals.
  mutating func readEvents(now: UInt64) {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    for _ in 0..<Self.readsMax where read(descriptor, &buffer, buffer.count) > 0 { debounce.event(now: now) }
  }

  private static let readsMax = 8

  /// Whether a file is another one than when this last said so; a file that has vanished is another one too. Ask before
  /// the files are read: what changes meanwhile is then noticed again.
  mutating func changed(now: UInt64) -> Bool {
    guard debounce.fire(now: now) else { return false }
    let before = seen
    loaded()
    return seen != before
  }

  /// Remembers the files as they are now, because they are about to be loaded for another reason.
  mutating func loaded() {
    watchDirectories()
    seen = paths.map { FileIdentity(path: $0) }
  }

  /// Watches the directory that names each file, and the one that holds it in the end: what a symlink leads to may be
  /// written in place. Repeated after each change, since the symlinks may lead elsewhere now.
  private mutating func watchDirectories() {
    var current: Set<Int32> = []
    for path in paths {
      if let named = watch(FileWatch.directory(of: path)) { current.insert(named) }
      guard let resolved = realpath(path, nil) else { continue }
      if let holding = watch(FileWatch.directory(of: String(cString: resolved))) { current.insert(holding) }
      free(resolved)
    }
    // A directory that was deleted has lost its watch already, and this fails without harm.
    for stale in directories.subtracting(current) { inotify_rm_watch(descriptor, stale) }
    directories = current
  }

  /// - Returns: the watch's number, the same one for the same directory.
  private func watch(_ directory: String) -> Int32? {
    // Not IN_MODIFY: an access log in the same directory would wake the control thread with each line. A file that is
    // written in place tells when it is closed.
    let events = UInt32(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE | IN_ATTRIB)
    let number = inotify_add_watch(descriptor, directory, events)
    return number >= 0 ? number : nil
  }

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
  /// Who may read it: a file that could not be read has to be looked at again when that is mended.
  var mode: mode_t
  var owner: uid_t
  var group: gid_t

  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int(status.st_size)
    modifiedSeconds = status.st_mtim.tv_sec
    modifiedNanoseconds = status.st_mtim.tv_nsec
    mode = status.st_mode
    owner = status.st_uid
    group = status.st_gid
  }
}
