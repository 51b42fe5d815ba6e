// Notices that the configuration file has changed, however that was done: written in place, renamed over, or swapped
// by the kubelet through the `..data` symlink of a mounted ConfigMap. Made by the command line before it loads the file,
// so that no change falls in between; owned by the control thread from `Proxy.run` on. inotify(7).

import Glibc

/// Watches the directory of a file. The events only say that something there moved; whether the file is another one is
/// asked of the file itself, through all symlinks, once the events have calmed down.
public struct ConfigurationWatch: Sendable {
  /// Poll this for readability.
  let descriptor: Int32
  private let path: String
  private var debounce = Debounce()
  private var seen: FileIdentity?

  /// - Throws: the host gives no inotify instance or watch; then SIGHUP still reloads.
  public init(path: String) throws(StartError) {
    descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    guard descriptor >= 0 else { throw ConfigurationWatch.refusal(path) }
    self.path = path
    let events = UInt32(IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE | IN_ATTRIB)
    guard inotify_add_watch(descriptor, ConfigurationWatch.directory(of: path), events) >= 0 else {
      let refusal = ConfigurationWatch.refusal(path)
      Glibc.close(descriptor)
      throw refusal
    }
    seen = FileIdentity(path: path)
  }

  func close() { _ = Glibc.close(descriptor) }

  /// When `changed` wants to be called.
  var deadline: UInt64? { debounce.deadline }

  /// Takes the events that have arrived.
  mutating func readEvents(now: UInt64) {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while read(descriptor, &buffer, buffer.count) > 0 { debounce.event(now: now) }
  }

  /// Whether the file is another one than when this last said so. False while it is missing: a rename is on its way.
  mutating func changed(now: UInt64) -> Bool {
    guard debounce.fire(now: now), let identity = FileIdentity(path: path), identity != seen else { return false }
    seen = identity
    return true
  }

  /// Remembers the file as it is now, because it was loaded for another reason.
  mutating func loaded() { seen = FileIdentity(path: path) ?? seen }

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
