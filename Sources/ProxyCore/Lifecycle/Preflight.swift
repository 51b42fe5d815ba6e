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

  /// Opens the file as `run` does; where there is none, asks whether it could be made.
  private mutating func tryOpening(_ path: String) {
    do throws(AccessLogFile.OpenFailure) {
      close(try AccessLogFile.open(path, creating: false))
      return
    } catch {
      let end = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
      let directory = String(path[..<end])
      if error.errno == ENOENT, faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 { return }
      obstacles.append(AccessLogWriter.refusal(path, error.errno).description)
    }
  }
}
