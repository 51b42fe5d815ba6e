// Where the process may read and write once it is confined, worked out from its configuration and enforced by Landlock
// (landlock(7), Linux 5.13). Rules name directories, not files: a rule holds for an inode, and every reload, rotation
// and update of a mounted volume puts another inode in the file's place.

import CLinux
import Glibc

/// Directories that stay in reach.
public struct FileRules: Sendable, Equatable {
  /// Below these, files can be read and directories listed. Without duplicates, in the order of their purpose.
  public let readable: [String]
  /// Below this, files can be made, written, renamed and removed; nil without an access log, and where that is a device.
  public let logDirectory: String?
  /// The access log where it is a device or a pipe: written, never replaced.
  let logDevice: String?

  /// What the C library reads to resolve a name: its settings, and the modules that nsswitch.conf(5) names. And what
  /// this process asks the kernel about itself.
  private static let ofTheSystem = ["/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/proc", "/sys/fs/cgroup"]
  /// Often links to where a resolver keeps the file itself.
  private static let resolverFiles = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"]

  init(_ configuration: Configuration, configurationPath: String?) {
    var readable = Self.ofTheSystem
    let files = Self.resolverFiles + [configurationPath].compactMap { $0 } + (configuration.identity?.files ?? [])
    // The directory that names a file, and the one that holds it.
    for file in files {
      readable += [Self.directory(of: file), Self.resolved(file).map(Self.directory(of:))].compactMap { $0 }
    }
    var seen: Set<String> = []
    self.readable = readable.filter { seen.insert($0).inserted }

    let log = configuration.accessLog
    logDirectory = log.format == .off || log.isDevice ? nil : Self.directory(of: log.path)
    logDevice = log.format != .off && log.isDevice ? log.path : nil
  }

  /// What a new configuration would need and no longer gets: only a restart can widen the rules. A line for each.
  func violations(by new: Configuration) -> [String] {
    var lines: [String] = []
    for file in new.identity?.files ?? [] where !readable.contains(where: { Self.isBelow($0, file) }) {
      lines.append("identity: \(file) is outside of what this process has confined itself to read")
    }
    let log = new.accessLog
    if log.format != .off, log.path != logDevice, !(logDirectory.map { Self.isBelow($0, log.path) } ?? false) {
      lines.append("accessLog.path: \(log.path) is outside of what this process has confined itself to write")
    }
    return lines.map { "\($0); restart it, or use the directory that it knows" }
  }

  var writableText: String { logDirectory.map { "below \($0)" } ?? logDevice ?? "nowhere" }

  // MARK: Enforcement

  /// Binds the calling thread, and those that it starts, to the rules.
  /// - Returns: 0 or -errno.
  func enter() -> Int32 {
    let version = sidecar_landlock_version()
    guard version >= 0 else { return version }
    var ruleset = sidecar_landlock_ruleset(
      files: Self.accesses(version: version), network: 0, scopes: Self.scopes(version: version))
    let rules = sidecar_landlock_create(&ruleset, MemoryLayout<sidecar_landlock_ruleset>.size)
    guard rules >= 0 else { return rules }
    defer { close(rules) }
    let reading = UInt64(SIDECAR_LANDLOCK_READ_FILE | SIDECAR_LANDLOCK_READ_DIRECTORY)
    for directory in readable {
      let result = sidecar_landlock_allow(rules, directory, reading)
      guard result == 0 else { return result }
    }
    if let logDirectory {
      let changing = SIDECAR_LANDLOCK_WRITE_FILE | SIDECAR_LANDLOCK_MAKE_FILE | SIDECAR_LANDLOCK_REMOVE_FILE
      let result = sidecar_landlock_allow(rules, logDirectory, UInt64(changing))
      guard result == 0 else { return result }
    }
    if let logDevice {
      let result = sidecar_landlock_allow(rules, logDevice, UInt64(SIDECAR_LANDLOCK_WRITE_FILE))
      // A pipe or a socket is in no directory: no rule can name it, and none is needed to write to it.
      guard result == 0 || result == -EBADFD || result == -ENXIO else { return result }
    }
    return sidecar_landlock_enter(rules)
  }

  /// All accesses to files that a version of Landlock knows; what no rule allows is then refused. Versions 1 to 3 brought
  /// the bits 0 to 12, 13 and 14, version 5 bit 15.
  private static func accesses(version: Int32) -> UInt64 {
    let count: UInt64 =
      switch version {
      case 1: 13
      case 2: 14
      case 3, 4: 15
      default: 16
      }
    return (1 << count) - 1
  }

  /// Abstract Unix sockets and signals reach this process's own threads only, from version 6 on.
  private static func scopes(version: Int32) -> UInt64 {
    version < 6 ? 0 : UInt64(SIDECAR_LANDLOCK_SCOPE_ABSTRACT_SOCKETS | SIDECAR_LANDLOCK_SCOPE_SIGNALS)
  }

  // MARK: Paths

  private static func directory(of path: String) -> String { FileWatch.directory(of: path) }

  private static func resolved(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// Whether a file is somewhere below a directory, by its name or where its directory's links lead.
  private static func isBelow(_ directory: String, _ file: String) -> Bool {
    let prefix = directory.hasSuffix("/") ? directory : directory + "/"
    let holder = Self.directory(of: file)
    return [holder, resolved(holder) ?? holder].contains { $0 == directory || ($0 + "/").hasPrefix(prefix) }
  }
}
