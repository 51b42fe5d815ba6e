// `sidecar-load idle`: connections that were used once and then do nothing, for the harness to see what they cost.

import ArgumentParser
import Glibc

struct Idle: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Open connections, use each once, and hold them until standard input ends; then use each again.")

  @Option(help: "Where the origin or the proxy before it listens.")
  var to: LoopbackAddress

  @Option(help: "Connections.")
  var connections = 2_000

  func run() throws {
    var clients = try EchoClients.open(connections, messageBytes: 64, to: to)
    print("open")
    fflush(nil)
    while readLine() != nil {}
    for slot in 0..<connections { clients.send(slot) }
    try clients.settle()
    var line = ResultLine()
    line.add("connections", connections)
    line.print()
  }
}
