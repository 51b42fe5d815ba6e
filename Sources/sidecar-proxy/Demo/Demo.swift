// `demo`: the whole product in one process and without a file. A client talks to an app through two sidecars, and the
// numbers are shown as they come:
//
//   client ─▶ outbound sidecar ═ mutual TLS ═▶ inbound sidecar ─▶ app

import ArgumentParser
import Glibc
import ProxyCore

struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the proxy at work: an app, two sidecars, a client and live numbers. Ctrl-C ends it.")

  @Option(help: ArgumentHelp("Connections of the client.", valueName: "number"))
  var connections = 4

  @Option(help: ArgumentHelp("Seconds until it ends by itself; 0: no end.", valueName: "number"))
  var seconds = 0

  func validate() throws {
    guard (1...256).contains(connections) else { throw ValidationError("--connections takes 1 to 256") }
    guard seconds >= 0 else { throw ValidationError("--seconds takes 0 or more") }
  }

  func run() throws {
    ProcessSetup.prepare()
    do throws(StartError) {
      let signals = try SignalDescriptor()
      let log = Log(level: .warning)
      let app = try EchoApp()
      let identities = try DemoIdentities()
      let inbound = try DemoSidecar(.inbound, target: app.address, identities: identities, log: log)
      let outbound = try DemoSidecar(.outbound, target: inbound.address, identities: identities, log: log)
      introduce(app, inbound, outbound)
      let client = LoadClient(connections: connections, to: outbound.address)
      let messages = show(client, outbound, until: signals)
      client.stop()
      let handshakes = Handshakes(of: outbound)
      outbound.stop()
      inbound.stop()
      app.stop()
      print("ended; \(messages) messages went there and back, over \(handshakes)")
    } catch {
      throw CommandFailure.failed("\(error)")
    }
  }

  private func introduce(_ app: EchoApp, _ inbound: DemoSidecar, _ outbound: DemoSidecar) {
    print(
      """
      client ─▶ outbound \(outbound.address) ═ mutual TLS 1.3 ═▶ inbound \(inbound.address) ─▶ app \(app.address)

      outbound  is \(DemoIdentities.clientID) and expects \(DemoIdentities.serverID)
      inbound   is \(DemoIdentities.serverID) and allows \(DemoIdentities.clientID)

      outbound  metrics http://\(outbound.endpoints.metricsAddress)/metrics  control http://\(outbound.endpoints.adminAddress)
      inbound   metrics http://\(inbound.endpoints.metricsAddress)/metrics  control http://\(inbound.endpoints.adminAddress)

      \(connections) connections, messages of \(LoadClient.messageBytes) bytes, \(LoadClient.messagesPerConnection) on each; Ctrl-C ends

      """)
  }

  /// Prints a line per second until a signal or the end of the time.
  /// - Returns: the messages of the whole demo.
  private func show(_ client: LoadClient, _ outbound: DemoSidecar, until signals: SignalDescriptor) -> UInt64 {
    let begin = Clocks.monotonicNanoseconds
    var before = client.counts()
    var bytesBefore: UInt64 = 0
    var lines = 0
    while true {
      let next = begin + UInt64(lines + 1) * 1_000_000_000
      let remaining = Int64(next) - Int64(Clocks.monotonicNanoseconds)
      if signals.wait(milliseconds: Int32(max(0, remaining) / 1_000_000)) != nil { break }
      if lines % 20 == 0 { print(Columns.header) }
      let now = client.counts()
      let bytes = ["received", "sent"].reduce(0) { $0 + (outbound.metric("sidecar_\($1)_bytes_total") ?? 0) }
      print(
        Columns.line(
          now.since(before), bytes: bytes &- bytesBefore, totalBytes: bytes,
          active: outbound.metric("sidecar_connections_active") ?? 0, handshakes: Handshakes(of: outbound)))
      fflush(nil)
      before = now
      bytesBefore = bytes
      lines += 1
      if lines == seconds { break }
    }
    return client.counts().messages
  }
}

/// TLS handshakes of a sidecar since its start.
private struct Handshakes: CustomStringConvertible {
  let full: UInt64
  let resumed: UInt64

  init(of sidecar: DemoSidecar) {
    let succeeded = sidecar.metric("sidecar_tls_handshakes_total", where: #"result="ok""#) ?? 0
    resumed = sidecar.metric("sidecar_tls_handshakes_total", where: #"resumed="true""#) ?? 0
    full = succeeded - min(succeeded, resumed)
  }

  var description: String { "\(full) full and \(resumed) resumed handshakes" }
}

/// The display's columns.
private enum Columns {
  static let header = row("messages/s", "MB/s", "p50 µs", "p99 µs", "active", "handshakes", "resumed", "MB in all")

  /// - Parameters:
  ///   - bytes: since the last line, both directions, from the outbound sidecar's metrics.
  static func line(
    _ counts: LoadClient.Counts, bytes: UInt64, totalBytes: UInt64, active: UInt64, handshakes: Handshakes
  ) -> String {
    row(
      "\(counts.messages)", "\(bytes / 1_000_000)", "\(counts.percentile(0.5) / 1_000)",
      "\(counts.percentile(0.99) / 1_000)", "\(active)", "\(handshakes.full)",
      "\(handshakes.resumed)", "\(totalBytes / 1_000_000)")
  }

  private static func row(_ cells: String...) -> String {
    cells.map { String(repeating: " ", count: max(0, 11 - $0.count)) + $0 }.joined()
  }
}
