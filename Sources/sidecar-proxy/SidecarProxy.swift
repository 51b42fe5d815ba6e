// The command line: what the binary can do, and how it ends. Exit codes: 0 done, 1 failed, 2 wrong usage or
// configuration. Errors are one line on standard error, with the mend; a configuration's mistakes one line each.

import ArgumentParser
import Glibc
import ProxyCore

@main
struct SidecarProxy: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sidecar-proxy",
    abstract: "A service-mesh sidecar: TCP in, TCP out, with mutual TLS, metrics and a drain in between.",
    version: BuildInfo.version,
    subcommands: [
      Run.self, Validate.self, Init.self, DevCerts.self, Demo.self, Wait.self, Status.self, Top.self, Drain.self,
      Shutdown.self, Version.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let failure as CommandFailure {
      for line in failure.lines { StandardError.write("sidecar-proxy: \(line)") }
      Glibc.exit(failure.code)
    } catch {
      let code = exitCode(for: error)
      if code.isSuccess {
        // --help and --version are answers, not errors.
        print(message(for: error))
        Glibc.exit(0)
      }
      StandardError.write("sidecar-proxy: \(message(for: error)); see sidecar-proxy --help")
      // ArgumentParser says 64 (EX_USAGE) where the other commands of this house say 2.
      Glibc.exit(2)
    }
  }
}

/// Why a command failed.
struct CommandFailure: Error {
  var lines: [String]
  var code: Int32

  /// Something on this host or in the running proxy is not as it should be.
  static func failed(_ line: String) -> CommandFailure { CommandFailure(lines: [line], code: 1) }

  static func failed(_ error: StartError) -> CommandFailure { CommandFailure(lines: error.lines, code: 1) }

  /// The configuration can't be used.
  static func configuration(_ error: ConfigurationError) -> CommandFailure {
    CommandFailure(lines: error.diagnostics.map(\.description), code: 2)
  }

  static func usage(_ line: String) -> CommandFailure { CommandFailure(lines: [line], code: 2) }
}

enum StandardError {
  static func write(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
