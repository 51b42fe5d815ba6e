/// Decides whether a peer's certificate chain is to be believed: the callback that `TLSContext` gives to libssl in place of
/// its own verification. It knows the leaves that were verified before, and it applies the rules of SPIFFE.

import COpenSSL

enum PeerVerifier {
  /// The callback of SSL_CTX_set_cert_verify_callback(3); `argument` is the `TLSContext`. Returns 1 to accept.
  ///
  /// On success the peer's identity is left with the engine, and the chain in the session is cut down to the one shared
  /// copy of the leaf: libssl keeps the chain for as long as the connection lives, which would be several KiB for each.
  static func callback(_ store: OpaquePointer?, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    guard let store, let argument, let leaf = X509_STORE_CTX_get0_cert(store),
      let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
    else { return 0 }
    let context = Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
    let session = OpaquePointer(ssl)
    let state = WindowBIO.state(of: session)
    let peerRole: TLSRole = SSL_is_server(session) == 1 ? .client : .server
    let chain = X509_STORE_CTX_get0_untrusted(store)
    state.pointee.verifiedLeaves.use(bundle: context.bundleFingerprint)

    let fingerprint = X509SVID.fingerprint(of: leaf)
    if let (certificate, identity) = state.pointee.verifiedLeaves.find(
      fingerprint, peerRole: peerRole, now: state.pointee.now)
    {
      adopt(identity, into: state)
      trim(chain, to: certificate)
      X509_STORE_CTX_set_error(store, X509_V_OK)
      return 1
    }

    let verdict = state.pointee.verifier.verify(
      leaf, chain: chain, anchors: context.trustStore, peerRole: peerRole, now: state.pointee.now)
    switch verdict {
    case .failure(let failure):
      // A CA fails for its usages before anybody looks at what it is; say the plainer reason.
      let isCA = failure == .certificateUsage && X509SVID.checkLeaf(leaf) { _ in } == .certificateIsCA
      return refuse(store, state, isCA ? .certificateIsCA : failure)
    case .success(let notAfter):
      var identity: PeerIdentity?
      let failure = X509SVID.checkLeaf(leaf) { uri in
        identity = PeerIdentity(uri: uri, fingerprint: fingerprint, notAfter: notAfter)
      }
      guard failure == nil, let identity else { return refuse(store, state, failure ?? .internalError) }
      state.pointee.verifiedLeaves.insert(leaf, identity: identity, peerRole: peerRole)
      adopt(identity, into: state)
      identity.release()
      trim(chain, to: leaf)
      X509_STORE_CTX_set_error(store, X509_V_OK)
      return 1
    }
  }

  private static func refuse(
    _ store: OpaquePointer, _ state: UnsafeMutablePointer<TLSEngine.State>, _ failure: TLSFailure
  ) -> Int32 {
    state.pointee.refusal = failure
    X509_STORE_CTX_set_error(store, failure.verificationError)
    return 0
  }

  /// Leaves a count of `identity` with the engine, in place of what a ticket that was not used in the end has left.
  private static func adopt(_ identity: PeerIdentity, into state: UnsafeMutablePointer<TLSEngine.State>) {
    state.pointee.peer?.release()
    state.pointee.peer = identity.retain()
  }

  /// Replaces the leaf in `chain` by an equal certificate and drops the others.
  private static func trim(_ chain: OpaquePointer?, to leaf: OpaquePointer) {
    while shim_sk_X509_num(chain) > 1 { X509_free(shim_sk_X509_pop(chain)) }
    guard let presented = shim_sk_X509_value(chain, 0), presented != leaf else { return }
    X509_up_ref(leaf)
    X509_free(shim_sk_X509_set(chain, 0, leaf) == nil ? nil : presented)
  }
}

/// X.509 path validation (RFC 5280 section 6) by libcrypto, with one context that is used again and again.
struct ChainVerifier: ~Copyable {
  private let context: OpaquePointer

  init() {
    guard let context = X509_STORE_CTX_new() else { fatalError("out of memory for a certificate verifier") }
    self.context = context
  }

  deinit { X509_STORE_CTX_free(context) }

  /// Verifies `leaf` up to one of `anchors`, for a peer in this role, at this moment (Unix seconds).
  ///
  /// `chain` may hold the leaf and whatever else the peer sent; the order doesn't matter. Returns the moment at which the
  /// first certificate of the path expires.
  borrowing func verify(
    _ leaf: OpaquePointer, chain: OpaquePointer?, anchors: OpaquePointer, peerRole: TLSRole, now: Int64
  ) -> Result<Int64, TLSFailure> {
    guard X509_STORE_CTX_init(context, anchors, leaf, chain) == 1, let parameters = X509_STORE_CTX_get0_param(context)
    else { return .failure(.outOfMemory) }
    defer { X509_STORE_CTX_cleanup(context) }
    X509_VERIFY_PARAM_set_purpose(parameters, peerRole == .client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER)
    X509_VERIFY_PARAM_set_time(parameters, Int(now))
    X509_VERIFY_PARAM_set_depth(parameters, Self.depthMax)
    X509_VERIFY_PARAM_set_auth_level(parameters, Self.securityLevel)
    // Whatever is in the bundle is an anchor, so that a bundle may name an intermediate without the root above it.
    X509_VERIFY_PARAM_set_flags(parameters, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    guard X509_verify_cert(context) == 1 else {
      return .failure(TLSFailure(verificationError: X509_STORE_CTX_get_error(context)))
    }
    var notAfter = Int64.max
    let path = X509_STORE_CTX_get0_chain(context)
    for index in 0..<shim_sk_X509_num(path) {
      guard let certificate = shim_sk_X509_value(path, index) else { continue }
      notAfter = min(notAfter, X509SVID.notAfter(certificate))
    }
    return .success(notAfter)
  }

  /// Intermediates between leaf and anchor; a bound on the signatures that a peer can make us verify.
  private static let depthMax: Int32 = 4

  /// Keys of 112 bits of security and signatures with SHA-2 (SSL_CTX_set_security_level(3)).
  private static let securityLevel: Int32 = 2
}
