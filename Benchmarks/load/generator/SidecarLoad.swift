// The load generator of the end-to-end benchmark, and the origin at the far end. The harness starts both; by hand they
// are good for trying one row out (docs/performance.md). A load prints one line of JSON, or why it failed.

import ArgumentParser
import Glibc

@main
struct SidecarLoad: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sidecar-load",
    abstract: "Load for proxies, and the origin behind them.",
    subcommands: [Origin.self, PingPong.self, Rate.self, Connect.self, Bulk.self, Idle.self])
}
