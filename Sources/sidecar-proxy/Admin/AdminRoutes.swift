// What `admin.bind` serves: looking into the proxy, and steering it. docs/admin.md describes each path.

import NIOHTTP1
import ProxyCore

extension RouteTable {
  static func admin(of proxy: Proxy) -> RouteTable {
    let allowRemote = proxy.configuration.admin.allowRemote
    return RouteTable(
      routes: [
        Route(method: .GET, path: "/version") { _ in
          .json { json in
            json.object { json in
              json.member("version", BuildInfo.version)
              json.member("engine", proxy.engine.rawValue)
            }
          }
        },
        Route(method: .GET, path: "/status") { $0.wantsText ? .text(.ok, StatusText.status(proxy)) : status(proxy) },
        Route(method: .GET, path: "/config") { _ in
          HTTPResponse(
            .ok, contentType: "application/yaml; charset=utf-8", body: Array(proxy.configuration.render().utf8))
        },
        Route(method: .GET, path: "/connections") { request in
          let snapshots = proxy.connections()
          return request.wantsText
            ? .text(.ok, StatusText.connections(snapshots, of: proxy)) : connections(snapshots, of: proxy)
        },
        Route(method: .GET, path: "/certificates") { _ in certificates(proxy) },
        Route(method: .POST, path: "/drain") { _ in
          proxy.drain()
          return .text(.accepted, "draining; stays until shutdown")
        },
        Route(method: .POST, path: "/shutdown") { _ in
          proxy.shutDown()
          return .text(.accepted, "draining, then ending")
        },
        Route(method: .POST, path: "/logging") { setLevel(proxy, $0) },
      ],
      refuse: { BrowserGuard.refusal($0, allowRemote: allowRemote) })
  }

  private static func status(_ proxy: Proxy) -> HTTPResponse {
    .json { json in
      json.object { json in
        json.member("version", BuildInfo.version)
        json.member("engine", proxy.engine.rawValue)
        json.member("phase", proxy.phase.rawValue)
        json.member("ready", proxy.unreadyReasons.isEmpty)
        json.member("workers", proxy.workerCount)
        json.member("connections", proxy.connectionCount)
        json.member("log_level", proxy.log.level.rawValue)
        json.key("listeners")
        json.array { json in
          for listener in proxy.configuration.listeners {
            json.object { json in
              json.member("name", listener.name)
              json.member("direction", listener.direction.rawValue)
              json.member("bind", listener.bind.description)
              json.member("target", listener.target.description)
              json.member("tls", listener.tls.rawValue)
            }
          }
        }
      }
    }
  }

  /// How many are listed. More would make an answer of megabytes; the total says what is missing.
  private static let connectionsShownMax = 1_000

  private static func connections(_ snapshots: [ConnectionSnapshot], of proxy: Proxy) -> HTTPResponse {
    .json { json in
      json.object { json in
        json.member("total", snapshots.count)
        json.key("connections")
        json.array { json in
          for snapshot in snapshots.prefix(connectionsShownMax) {
            json.object { write(snapshot, proxy.directory[snapshot.listener]?.name ?? "-", into: &$0) }
          }
        }
      }
    }
  }

  private static func write(_ snapshot: ConnectionSnapshot, _ listener: String, into json: inout JSONWriter) {
    json.member("listener", listener)
    json.member("worker", snapshot.worker)
    json.member("phase", snapshot.phase.rawValue)
    json.member("downstream", snapshot.downstream?.description ?? "-")
    json.member("upstream", snapshot.upstream.description)
    json.member("tls", snapshot.encryption.label)
    json.key("age_ms")
    json.value(millisecondsOf: snapshot.age)
    json.key("idle_ms")
    json.value(millisecondsOf: snapshot.idle)
    json.member("received_bytes", snapshot.receivedBytes)
    json.member("sent_bytes", snapshot.sentBytes)
    json.member("upstream_path", snapshot.paths.0.rawValue)
    json.member("downstream_path", snapshot.paths.1.rawValue)
  }

  private static func setLevel(_ proxy: Proxy, _ request: HTTPRequest) -> HTTPResponse {
    let levels = Configuration.Log.Level.allCases.map(\.rawValue).joined(separator: ", ")
    guard let text = request.query.first(where: { $0.name == "level" })?.value,
      let level = Configuration.Log.Level(rawValue: text)
    else { return .text(.badRequest, "say which level: POST /logging?level=…, one of \(levels)") }
    proxy.log.setLevel(level)
    return .text(.ok, "log level is \(level.rawValue)")
  }
}

extension HTTPRequest {
  /// Whether the request asks for text for people, as the `status` and `top` commands do.
  fileprivate var wantsText: Bool { query.contains { $0.name == "format" && $0.value == "text" } }
}
