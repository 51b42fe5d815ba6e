/// Who this sidecar is and whom it trusts: the certificates, the key and the rules of TLS, ready to make sessions from. The
/// control thread builds one at start and on every reload; workers make their sessions from the newest one.

import COpenSSL

/// Immutable, and shared by all workers. A live session keeps the context that it began with, so a reload changes nothing
/// for it.
///
/// Both roles use TLS 1.3 only, demand a certificate of the peer and verify it with `PeerVerifier`.
///
/// ALPN: a client offers our protocol, and goes on with a server that doesn't pick it. A server picks our protocol when it
/// is offered; otherwise it answers without ALPN, which RFC 7301 allows, rather than accept on the app's behalf a protocol
/// that the app may not speak: curl, which offers h2 and http/1.1, then speaks HTTP/1.1.
///
/// Tickets: the server's name sessions that all workers share, hold for `ticketLifetime`, and bring the peer's identity back,
/// which is checked again (`TLSContext+Tickets.swift`).
public final class TLSContext: @unchecked Sendable {
  // The pointers refer to reference-counted objects of libssl's that are only read after init, from any thread, which
  // libssl allows (openssl-threads(7)).

  /// The SSL_CTX for sessions that accept.
  let server: OpaquePointer
  /// The SSL_CTX for sessions that connect.
  let client: OpaquePointer
  /// The trust bundle as an X509_STORE.
  let trustStore: OpaquePointer
  /// What identifies the bundle: the digest of its certificates' digests, in order. Whatever was verified or issued under
  /// another bundle is worthless under this one.
  let bundleFingerprint: Fingerprint
  /// Between which contexts sessions resume: those with the same bundle and the same name of our own. A session speaks for
  /// both sides as they were when it began, and who has another name now must not go on under the old one.
  let resumptionScope: Fingerprint
  /// Our protocol as ALPN writes it: a length byte and the name.
  let alpn: [UInt8]
  /// What the server's tickets stand for.
  let serverSessions: ServerSessionCache

  /// Our own SPIFFE ID.
  public let id: SPIFFEID
  /// The certificates that peers are shown, leaf first.
  public let chain: [CertificateSummary]
  /// The trust bundle's certificates.
  public let bundle: [CertificateSummary]

  /// Builds a context out of PEM files.
  ///
  /// `now` is in Unix seconds. `previous` is the context that this one replaces: when the trust bundle and the SPIFFE ID are
  /// still the same, its sessions are taken over, so that a rotated certificate costs nobody a full handshake. Otherwise they
  /// are dropped.
  init(_ material: consuming TLSMaterial, alpn: [UInt8], now: Int64, previous: TLSContext?) throws(TLSMaterialError) {
    precondition((1...255).contains(alpn.count), "an ALPN protocol has 1 to 255 bytes")
    let checked = try material.check(now: now)
    id = checked.id
    chain = checked.chainSummaries
    bundle = checked.bundleSummaries
    bundleFingerprint = checked.bundleFingerprint
    resumptionScope = Self.resumptionScope(bundleFingerprint, checked.id)
    trustStore = checked.store
    X509_STORE_up_ref(trustStore)
    self.alpn = [UInt8(alpn.count)] + alpn

    guard let server = Self.makeContext(TLS_server_method(), checked),
      let client = Self.makeContext(TLS_client_method(), checked)
    else { throw TLSMaterialError(.unusable(TLSMaterialError.opensslReason()), file: material.certificateFile) }
    self.server = server
    self.client = client
    serverSessions =
      previous?.resumptionScope == resumptionScope
      ? previous?.serverSessions ?? ServerSessionCache() : ServerSessionCache()
    setUpServer()
    setUpClient()
  }

  deinit {
    SSL_CTX_free(server)
    SSL_CTX_free(client)
    X509_STORE_free(trustStore)
  }

  /// How long a ticket may be used after it was issued, in seconds.
  static let ticketLifetime: Int64 = 3600
}

extension TLSContext {
  /// What both roles have in common.
  private static func makeContext(_ method: OpaquePointer?, _ material: borrowing CheckedMaterial) -> OpaquePointer? {
    guard let context = SSL_CTX_new(method) else { return nil }
    // AES-128-GCM first: it is the fastest, and strong enough (RFC 8446 section 9.1 makes it mandatory).
    let suites =
      shim_cpu_has_aes() != 0
      ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
      : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
    guard shim_SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1,
      SSL_CTX_set_ciphersuites(context, suites) == 1, shim_SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1,
      shim_SSL_CTX_set1_sigalgs_list(context, signatureAlgorithms) == 1,
      SSL_CTX_use_certificate(context, material.leaf) == 1, SSL_CTX_use_PrivateKey(context, material.key) == 1
    else {
      SSL_CTX_free(context)
      return nil
    }
    for certificate in material.intermediates { _ = shim_SSL_CTX_add1_chain_cert(context, certificate) }

    // Middlebox compatibility adds dummy records for boxes that are not on the way between two pods. Compressed
    // certificates (RFC 8879), which libssl offers from 3.2 on, took 11 % of a full handshake to save a few hundred bytes.
    SSL_CTX_clear_options(context, shim_SSL_OP_ENABLE_MIDDLEBOX_COMPAT)
    SSL_CTX_set_options(
      context,
      shim_SSL_OP_NO_COMPRESSION | shim_SSL_OP_NO_RENEGOTIATION | shim_SSL_OP_CIPHER_SERVER_PREFERENCE
        | shim_SSL_OP_NO_TX_CERTIFICATE_COMPRESSION | shim_SSL_OP_NO_RX_CERTIFICATE_COMPRESSION)
    // RELEASE_BUFFERS: idle connections give their 16 KiB buffers back. NO_AUTO_CHAIN: the chain is what the file says,
    // and is not searched for (and verified!) again in each handshake. The write modes let a retry come from another
    // address, since the buffers are ours to move.
    shim_SSL_CTX_set_mode(
      context,
      Int(
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ENABLE_PARTIAL_WRITE
          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
    shim_SSL_CTX_set_max_cert_list(context, peerChainSizeMax)
    // The secrets go to the session's record layer; see `TLSSession`.
    SSL_CTX_set_keylog_callback(context, learnSecret)
    return context
  }

  private func setUpServer() {
    let me = Unmanaged.passUnretained(self).toOpaque()
    SSL_CTX_set_ex_data(server, 0, me)
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    SSL_CTX_set_cert_verify_callback(server, { PeerVerifier.callback($0, $1) }, me)
    SSL_CTX_set_alpn_select_cb(server, selectALPN, me)
    setUpTickets()
  }

  private func setUpClient() {
    let me = Unmanaged.passUnretained(self).toOpaque()
    SSL_CTX_set_ex_data(client, 0, me)
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, nil)
    SSL_CTX_set_cert_verify_callback(client, { PeerVerifier.callback($0, $1) }, me)
    // Fails only when memory is short; then this client has no ALPN, which a strict listener accepts.
    alpn.withUnsafeBufferPointer { _ = SSL_CTX_set_alpn_protos(client, $0.baseAddress, UInt32($0.count)) }
    // Tickets go to the engine's cache through the callback; libssl's own cache has a lock.
    shim_SSL_CTX_set_session_cache_mode(client, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
    SSL_CTX_sess_set_new_cb(client, storeClientTicket)
    SSL_CTX_set_msg_callback(client, noteKeyUpdate)
  }

  /// What SVIDs are signed with in practice, the common one first; a short list makes short hellos.
  private static let signatureAlgorithms = """
    ECDSA+SHA256:ed25519:rsa_pss_rsae_sha256:ECDSA+SHA384:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:ECDSA+SHA512:\
    rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512
    """

  /// A leaf and four RSA-4096 intermediates are about 8 KiB. The bound is what a stranger can have a worker parse in one step
  /// of a handshake: the smallest certificates cost libcrypto 80 µs each, which makes 3.4 ms, and 9 ms for 32 KiB.
  static let peerChainSizeMax = 12 * 1024
}

/// Picks our protocol when the client offers it. See SSL_CTX_set_alpn_select_cb(3).
private func selectALPN(
  _ ssl: OpaquePointer?, _ selected: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
  _ selectedLength: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ offeredLength: UInt32,
  _ argument: UnsafeMutableRawPointer?
) -> Int32 {
  guard let argument, let offered else { return SSL_TLSEXT_ERR_NOACK }
  let context = Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
  // libssl has checked that the list is well-formed; the bounds are checked again, because they come from a stranger.
  var position = 0
  while position < Int(offeredLength) {
    let length = Int(offered[position])
    guard position + 1 + length <= Int(offeredLength) else { break }
    let name = UnsafeBufferPointer(start: offered + position, count: 1 + length)
    if name.elementsEqual(context.alpn) {
      selected?.pointee = offered + position + 1
      selectedLength?.pointee = UInt8(length)
      return SSL_TLSEXT_ERR_OK
    }
    position += 1 + length
  }
  return SSL_TLSEXT_ERR_NOACK
}
