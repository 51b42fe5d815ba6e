// `wait`: blocks until the proxy beside us is ready; an app's start command or a probe in an image without curl.

import ArgumentParser
import Glibc
import ProxyCore

struct Wait: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Wait until the proxy is ready.")

  @Option(help: ArgumentHelp("Where metrics.bind is.", valueName: "address"))
  var address = getenv("SIDECAR_METRICS_BIND").map { String(cString: $0) } ?? "\(Configuration.Metrics.bindDefault)"

  @Option(help: ArgumentHelp("Seconds to wait at most.", valueName: "seconds"))
  var timeout = 60

  /// A year is as long as anybody could mean.
  private static let timeouts = 0...31_536_000
  /// Between two attempts: a start takes a few of these, and an idle wait costs nothing to speak of.
  private static let pauseMicroseconds: UInt32 = 50_000

  func run() throws {
    guard let address = SocketAddress(address)?.reachable else {
      throw CommandFailure.usage("--address \(address): not an address; expected HOST:PORT such as 127.0.0.1:15020")
    }
    guard Self.timeouts.contains(timeout) else {
      throw CommandFailure.usage(
        "--timeout \(timeout): out of range; expected 0 to \(Self.timeouts.upperBound) seconds")
    }
    let deadline = Clocks.monotonicNanoseconds + UInt64(timeout) * 1_000_000_000
    var told = ""
    while true {
      let obstacle = Wait.obstacle(at: address)
      guard let obstacle else { return }
      if obstacle != told { StandardError.write("not ready: \(obstacle)") }
      told = obstacle
      guard Clocks.monotonicNanoseconds < deadline else {
        throw CommandFailure.failed("not ready after \(timeout) s: \(obstacle)")
      }
      usleep(Self.pauseMicroseconds)
    }
  }

  /// Why the proxy isn't ready; nil: it is.
  private static func obstacle(at address: SocketAddress) -> String? {
    do throws(HTTPClient.Failure) {
      let answer = try HTTPClient.request("GET", address, "/healthz/ready", timeoutSeconds: 2)
      if answer.status == 200 { return nil }
      return answer.body.split(separator: "\n").joined(separator: ", ")
    } catch {
      return error.reason
    }
  }
}
