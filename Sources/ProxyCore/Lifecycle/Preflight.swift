// What `run` would stumble over on this host, found out without leaving a trace. Called by `sidecar-proxy validate`.

import Glibc
import IOUring

/// The addresses and files of a configuration, tried and let go of.
public struct Preflight {
  /// What would stop `run`.
  public private(set) var obstacles: [String] = []
  /// What would stop it unless it is a running proxy's own.
  public private(set) var warnings: [String] = []

  public init(_ configuration: Configuration) {
    for listener in configuration.listeners { tryBinding(listener.bind, of: "listener \(listener.name)") }
    tryBinding(configuration.admin.bind, of: "admin.bind")
    tryBinding(configuration.metrics.bind, of: "metrics.bind")
    if configuration.accessLog.format != .off { tryOpening(configuration.accessLog.path) }
  }

  private mutating func tryBinding(_ address: SocketAddress, of owner: String) {
    do throws(ListenerSockets.Refusal) {
      close(try ListenerSockets.bound(to: address, sharesPort: false).rawValue)
    } catch {
      let text =
        "\(owner): can't \(error.verb) \(address): \(String(cString: strerror(error.errno))); "
        + ListenerSockets.mend(error.errno, address)
      if error.errno == EADDRINUSE { warnings.append(text) } else { obstacles.append(text) }
    }
  }

  /// Asks whether the file could be written, or made where there is none. access(2), by the effective user.
  private mutating func tryOpening(_ path: String) {
    func refused(_ path: String, _ rights: Int32) -> Int32? {
      faccessat(AT_FDCWD, path, rights, AT_EACCESS) == 0 ? nil : errno
    }
    var failure = refused(path, W_OK)
    if failure == ENOENT {
      let end = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
      failure = refused(path[..<end].isEmpty ? "." : String(path[..<end]), W_OK | X_OK)
    }
    if let failure { obstacles.append(AccessLogWriter.refusal(path, failure).description) }
  }
}
