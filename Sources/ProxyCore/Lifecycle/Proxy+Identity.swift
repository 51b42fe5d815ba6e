// Who the proxy is: loaded at the start, and again when the files change, without touching a connection. The control
// thread does it; workers get the result and use it for handshakes that begin from then on.

import Glibc

/// An identity that isn't in files: the demo makes one for each of its sidecars.
public struct PEMIdentity: Sendable {
  /// The certificate chain, leaf first; the leaf's key; the certificates that peers must chain to.
  public var certificate: [UInt8]
  public var privateKey: [UInt8]
  public var trustBundle: [UInt8]

  public init(certificate: [UInt8], privateKey: [UInt8], trustBundle: [UInt8]) {
    self.certificate = certificate
    self.privateKey = privateKey
    self.trustBundle = trustBundle
  }
}

/// The identity in use, and what became of attempts to replace it.
struct IdentityState: Sendable {
  var context: TLSContext?
  var reloadsSucceeded: UInt64 = 0
  var reloadsFailed: UInt64 = 0
}

extension TLSContext {
  /// Reads and checks the files of an identity.
  ///
  /// - Returns: the context, and what an operator should know although it is no error.
  static func load(
    _ identity: Configuration.Identity, previous: TLSContext?
  ) throws(TLSMaterialError) -> (context: TLSContext, warnings: [String]) {
    let material = try TLSMaterial.read(identity)
    let warnings = material.warnings
    let context = try TLSContext(
      material, alpn: Array(identity.alpn.utf8), now: Clocks.wallSeconds, previous: previous)
    return (context, warnings)
  }
}

extension Proxy {
  /// Whether an identity can be used here and now: for `validate`.
  ///
  /// - Returns: its SPIFFE ID, and what an operator should know although it is no error.
  public static func check(
    _ identity: Configuration.Identity
  ) throws(TLSMaterialError) -> (id: String, warnings: [String]) {
    let (context, warnings) = try TLSContext.load(identity, previous: nil)
    return (context.id.uri, warnings)
  }

  /// The identity of the start: from the options, from files, or none.
  static func firstIdentity(
    _ configuration: Configuration, _ options: Options, _ log: Log
  ) throws(StartError) -> TLSContext? {
    do throws(TLSMaterialError) {
      if let pem = options.identity {
        let material = TLSMaterial(certificate: pem.certificate, key: pem.privateKey, bundle: pem.trustBundle)
        let alpn = Array(Configuration.Identity.alpnDefault.utf8)
        return try TLSContext(material, alpn: alpn, now: Clocks.wallSeconds, previous: nil)
      }
      guard let identity = configuration.identity else { return nil }
      let (context, warnings) = try TLSContext.load(identity, previous: nil)
      for warning in warnings { log.warning(warning) }
      return context
    } catch {
      throw StartError("identity: \(error)")
    }
  }

  /// Loads the identity's files again, because they have changed; bad ones are logged and counted, and the identity in
  /// use stays.
  func reloadIdentity() {
    let (identity, previous) = state.withLock { ($0.configuration.identity, $0.identity.context) }
    guard let identity else { return }
    do throws(TLSMaterialError) {
      let (context, warnings) = try TLSContext.load(identity, previous: previous)
      for warning in warnings { log.warning(warning) }
      adopt(context)
    } catch {
      log.error("identity refused: \(error); the one in use stays")
      state.withLock { $0.identity.reloadsFailed += 1 }
    }
  }

  /// Hands a new identity to the workers.
  func adopt(_ context: TLSContext) {
    state.withLock { state in
      state.identity.context = context
      state.identity.reloadsSucceeded += 1
    }
    post(.updateIdentity(context))
    log.info("identity \(context.id.uri) reloaded, valid until \(Proxy.date(context.chain[0].notAfter))")
  }

  /// Unix seconds as RFC 3339.
  static func date(_ seconds: Int64) -> String {
    var bytes: [UInt8] = []
    bytes.append(rfc3339: UInt64(clamping: seconds) &* 1_000_000_000)
    return String(decoding: bytes, as: UTF8.self)
  }
}
