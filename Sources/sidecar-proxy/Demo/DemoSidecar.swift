// One of the demo's sidecars: a whole proxy with its endpoints, inside the demo's process, on ports that the kernel
// chooses.

import Glibc
import ProxyCore

struct DemoSidecar {
  let proxy: Proxy
  let endpoints: Endpoints
  /// Where its listener takes connections.
  let address: SocketAddress
  private let control: PosixThread

  init(
    _ direction: Configuration.Listener.Direction, target: SocketAddress, identities: DemoIdentities, log: Log
  ) throws(StartError) {
    let free = SocketAddress(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    var configuration = Configuration()
    configuration.workers = .count(1)
    var listener = Configuration.Listener(
      name: direction.rawValue, direction: direction, bind: free, target: .address(target))
    var options = Proxy.Options()
    // Each side demands the other's identity, and no other.
    switch direction {
    case .inbound:
      listener.tls = .strict
      listener.allow = [Configuration.AllowRule(principals: [DemoIdentities.clientID])]
      options.identity = identities.server
    case .outbound:
      listener.mesh = [Configuration.MeshRule(tls: .strict, principals: [DemoIdentities.serverID])]
      options.identity = identities.client
    }
    configuration.listeners = [listener]
    configuration.admin.bind = free
    configuration.metrics.bind = free
    configuration.accessLog.format = .off
    configuration.limits.connections = 1_024
    let proxy = try Proxy(configuration, options: options, log: log)
    self.proxy = proxy
    endpoints = try Endpoints(of: proxy)
    address = proxy.configuration.listeners[0].bind
    control = PosixThread.start(name: "demo-control") {
      _ = proxy.run()
    }
  }

  /// Ends the proxy and waits for it.
  func stop() {
    proxy.interrupt()
    control.join()
    endpoints.shutDown()
  }

  /// What its own /metrics says: a family summed over its labels, or over those of its series that have this label.
  func metric(_ name: String, where label: String = "") -> UInt64? {
    guard let answer = try? HTTPClient.request("GET", endpoints.metricsAddress, "/metrics") else { return nil }
    let samples = answer.body.split(separator: "\n").filter { $0.hasPrefix(name + "{") && $0.contains(label) }
    return samples.reduce(UInt64(0)) { sum, line in
      sum + (line.split(separator: " ").last.flatMap { UInt64($0) } ?? 0)
    }
  }
}
