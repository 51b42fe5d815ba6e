// The commands that talk to a running proxy through its control endpoint: `status`, `top`, `drain`, `shutdown`.

import ArgumentParser
import Glibc
import ProxyCore

struct AdminOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where admin.bind is.", valueName: "address"))
  var admin = getenv("SIDECAR_ADMIN_BIND").map { String(cString: $0) } ?? "\(Configuration.Admin.bindDefault)"

  /// - Returns: the body of a successful answer.
  func request(_ method: String, _ path: String) throws -> String {
    guard let address = SocketAddress(admin)?.reachable else {
      throw CommandFailure.usage("--admin \(admin): not an address; expected HOST:PORT such as 127.0.0.1:15000")
    }
    let answer: HTTPClient.Answer
    do throws(HTTPClient.Failure) {
      answer = try HTTPClient.request(method, address, path)
    } catch {
      throw CommandFailure.failed("\(error.reason); is the proxy running, and is --admin its admin.bind?")
    }
    guard (200..<300).contains(answer.status) else {
      let reason = answer.body.split(separator: "\n").joined(separator: " ")
      throw CommandFailure.failed("\(method) \(path): \(answer.status) \(reason)")
    }
    return answer.body
  }
}

struct Status: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Show what a running proxy does.")

  @OptionGroup var admin: AdminOptions

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws { print(try admin.request("GET", json ? "/status" : "/status?format=text"), terminator: "") }
}

struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Watch a running proxy's connections; Ctrl-C ends it.")

  @OptionGroup var admin: AdminOptions

  @Option(help: ArgumentHelp("Seconds between two looks.", valueName: "seconds"))
  var interval = 1

  @Option(help: ArgumentHelp("Looks before it ends; 0: no end.", valueName: "number"))
  var count = 0

  func run() throws {
    var looks = 0
    while true {
      let status = try admin.request("GET", "/status?format=text")
      let connections = try admin.request("GET", "/connections?format=text")
      // Clears the screen where there is one. ECMA-48.
      let clear = isatty(STDOUT_FILENO) == 1 ? "\u{1b}[H\u{1b}[2J" : ""
      print("\(clear)\(status)\n\(connections)")
      fflush(nil)
      looks += 1
      if looks == count { return }
      sleep(UInt32(clamping: max(1, interval)))
    }
  }
}

struct Drain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Drain a running proxy: unready at once, then no new connections. It stays until shutdown.")

  @OptionGroup var admin: AdminOptions

  func run() throws { print(try admin.request("POST", "/drain"), terminator: "") }
}

struct Shutdown: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Drain a running proxy and end it, as SIGTERM does. The second time: end it at once.")

  @OptionGroup var admin: AdminOptions

  func run() throws { print(try admin.request("POST", "/shutdown"), terminator: "") }
}
