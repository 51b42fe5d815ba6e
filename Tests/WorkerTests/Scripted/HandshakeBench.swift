// What the scripted tests of TLS share: identities, listeners of each kind, and a peer that is a real TLS session in
// memory, whose bytes the script carries.

import Glibc
import IOUring
import KernelTestSupport
import Testing

@testable import ProxyCore

/// A server and a client that trust each other.
struct ScriptedIdentities: Sendable {
  let server: TLSContext
  let client: TLSContext
  /// Unix seconds; the real time, because libssl dates its tickets by it.
  let now: Int64

  static let clientID = "spiffe://cluster.local/ns/web/sa/frontend"
  static let serverID = "spiffe://cluster.local/ns/db/sa/postgres"

  init() throws {
    now = Int64(time(nil))
    let authority = try DevelopmentAuthority(trustDomain: "cluster.local", now: now)
    let bundle = authority.certificatePEM
    server = try .make(try authority.issue(SPIFFEID(Self.serverID), now: now), trustBundlePEM: bundle, now: now)
    client = try .make(try authority.issue(SPIFFEID(Self.clientID), now: now), trustBundlePEM: bundle, now: now)
  }
}

/// The peer's end of one connection.
final class ScriptedPeer {
  // In this order: the engine must outlive the session.
  private var session: TLSSession
  private let engine: TLSEngine
  private(set) var isComplete = false
  /// Whether close_notify was in what it heard.
  var hasHeardEnd: Bool { session.endOfInputIsClean }

  init(_ identities: ScriptedIdentities, _ role: TLSRole = .client) {
    engine = TLSEngine(now: identities.now, sessionsMax: 64)
    session = TLSSession(identities.client, role: role, engine: engine)!
  }

  /// What it says to these bytes; a client to none, its hello.
  func answer(to bytes: [UInt8] = []) -> [UInt8] {
    write { output in
      bytes.withUnsafeBytes {
        var input = InputWindow($0)
        isComplete = session.handshake(input: &input, output: &output) == .complete
      }
    }
  }

  /// A record of data.
  func say(_ text: String) -> [UInt8] {
    write { output in
      Array(text.utf8).withUnsafeBytes {
        var plaintext = InputWindow($0)
        _ = session.encrypt(plaintext: &plaintext, output: &output)
      }
    }
  }

  /// What these records say; nil if that is nothing.
  func hear(_ records: [UInt8]) -> String? {
    let text = write { output in
      records.withUnsafeBytes { records in
        withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { area in
          var (input, answers) = (InputWindow(records), OutputWindow(area))
          _ = session.decrypt(input: &input, plaintext: &output, output: &answers)
        }
      }
    }
    return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
  }

  /// A request for new keys, and a record of data under new ones of its own.
  func askForKeys(andSay text: String) -> [UInt8] {
    session.updateKeys(askingPeer: true)
    return say(text)
  }

  /// close_notify.
  func end() -> [UInt8] { write { output in _ = session.closeNotify(output: &output) } }

  private func write(_ body: (inout OutputWindow) -> Void) -> [UInt8] {
    withUnsafeTemporaryAllocation(byteCount: 32_768, alignment: 1) { area in
      var output = OutputWindow(area)
      body(&output)
      return Array(area.prefix(output.count))
    }
  }
}

extension Descriptor {
  /// The clients of tests that have many.
  static func client(_ number: Int) -> Descriptor { Descriptor(rawValue: 1_000_100 + Int32(number)) }
  static func server(_ number: Int) -> Descriptor { Descriptor(rawValue: 1_000_200 + Int32(number)) }
}

extension WorkerBench {
  static let target = "127.0.0.1:8080"

  /// A bench whose worker has an identity, before a listener of this kind.
  static func withIdentity(
    _ identities: ScriptedIdentities, tls: Configuration.Listener.TLS, settings: WorkerSettings? = nil,
    bufferSize: Int = 4_096, upstream: TargetAddress = TargetAddress(SocketAddress(target)!)
  ) -> WorkerBench {
    let listener = Configuration.Listener(
      name: "inbound", direction: .inbound, bind: bind, target: .originalDestination, tls: tls)
    return listening(
      identities, ListenerPlan(listener, destination: .addresses([upstream])), settings: settings,
      bufferSize: bufferSize)
  }

  /// The same before an outbound listener that asks for mutual TLS everywhere, or by these rules.
  static func outbound(
    _ identities: ScriptedIdentities, mesh: [Configuration.MeshRule] = [.init()], bufferSize: Int = 4_096,
    to targets: String...
  ) -> WorkerBench {
    listening(
      identities, outboundPlan(mesh: mesh, to: targets.isEmpty ? [target] : targets), bufferSize: bufferSize)
  }

  static func outboundPlan(mesh: [Configuration.MeshRule], to targets: [String]) -> ListenerPlan {
    var listener = Configuration.Listener(
      name: "outbound", direction: .outbound, bind: bind, target: .originalDestination)
    listener.mesh = mesh
    return ListenerPlan(listener, destination: .addresses(targets.map { TargetAddress(SocketAddress($0)!) }))
  }

  private static func listening(
    _ identities: ScriptedIdentities, _ plan: ListenerPlan, settings: WorkerSettings? = nil, bufferSize: Int = 4_096
  ) -> WorkerBench {
    let bench = WorkerBench(
      settings: settings ?? WorkerSettings(Configuration.Timeouts()), bufferSize: bufferSize, bufferCount: 16,
      slotsMax: 32,
      clock: UInt64(identities.now) * 1_000_000_000)
    bench.script.ignoresSentBytes = true
    bench.worker.identity = identities.server
    bench.listen(plan)
    return bench
  }

  /// A client arrives on a strict listener.
  func arrive(_ client: Descriptor, droppingFirst drops: [Step] = []) {
    turn(
      [.accepted(client, on: .listener)],
      expecting: [.peerAddress(client, is: Self.clientAddress), .receive(client, expectsData: false)] + drops)
  }
}
