/// A configuration while it is being decoded: what could be read so far, and where each part came from, so that the
/// checks for contradictions can point at it. `ConfigurationDecoder` fills it.

/// A configuration in the making.
struct ConfigurationDraft {
  /// Everything but `identity` and `listeners`.
  var configuration: Configuration
  var identity: IdentityDraft
  /// Where the identity begins; nil when neither the file nor an override mentions it.
  var identityLocation: SourceLocation?
  var listeners: [ListenerDraft] = []
  /// Where the scalars were set, by key path; those that keep their default are absent.
  var locations: [String: SourceLocation] = [:]

  init(_ configuration: Configuration = Configuration()) {
    self.configuration = configuration
    identity = configuration.identity.map(IdentityDraft.init) ?? IdentityDraft()
  }
}

/// An identity of which parts may be missing; a missing part is empty.
struct IdentityDraft {
  var certificate = ""
  var privateKey = ""
  var trustBundle = ""
  var alpn = Configuration.Identity.alpnDefault
}

extension IdentityDraft {
  init(_ identity: Configuration.Identity) {
    certificate = identity.certificate
    privateKey = identity.privateKey
    trustBundle = identity.trustBundle
    alpn = identity.alpn
  }
}

/// A listener of which parts may be missing or unreadable.
struct ListenerDraft {
  /// `listeners[0]`.
  let path: String
  let location: SourceLocation
  var name: String?
  var direction: Configuration.Listener.Direction?
  var bind: SocketAddress?
  var target: Target?
  var tls: Configuration.Listener.TLS?
  var allow: [RuleDraft<Configuration.AllowRule>]?
  var mesh: [RuleDraft<Configuration.MeshRule>]?
  /// Where each key stands that the listener has, readable or not.
  var locations: [String: SourceLocation] = [:]

  /// Where a key stands, or the listener itself.
  func location(of key: String) -> SourceLocation { locations[key] ?? location }
}

/// A rule of a listener, and where it and its keys stand.
struct RuleDraft<Rule> {
  /// `listeners[0].allow[1]`.
  let path: String
  let location: SourceLocation
  var rule: Rule
  var locations: [String: SourceLocation] = [:]
}
