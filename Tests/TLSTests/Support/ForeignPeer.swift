// A TLS peer that is not a sidecar: plain libssl over memory BIOs, set up as a test likes. It stands for curl, for old
// clients and for those who mean harm.

import COpenSSL

@testable import ProxyCore

/// An SSL object of libssl's own with the ciphertext that it has written.
final class ForeignPeer {
  let ssl: OpaquePointer
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer

  /// `setUp` receives the SSL_CTX before the session is made of it.
  init(_ role: TLSRole = .client, setUp: (OpaquePointer) -> Void) {
    let context = SSL_CTX_new(role == .client ? TLS_client_method() : TLS_server_method())!
    defer { SSL_CTX_free(context) }
    setUp(context)
    ssl = SSL_new(context)
    incoming = BIO_new(BIO_s_mem())
    outgoing = BIO_new(BIO_s_mem())
    SSL_set_bio(ssl, incoming, outgoing)
    role == .client ? SSL_set_connect_state(ssl) : SSL_set_accept_state(ssl)
  }

  deinit { SSL_free(ssl) }

  /// Carries the handshake on with an endpoint until nothing moves any more.
  func handshake(with endpoint: Endpoint) {
    for _ in 0..<10 {
      SSL_do_handshake(ssl)
      ERR_clear_error()
      endpoint.inbox += takeOutput()
      endpoint.step()
      endpoint.step()
      receive(endpoint.outbox)
      endpoint.outbox = []
    }
    // Tickets and alerts that came after the handshake.
    _ = read()
  }

  func receive(_ bytes: [UInt8]) { BIO_write(incoming, bytes, Int32(bytes.count)) }

  func takeOutput() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(BIO_ctrl_pending(outgoing)))
    BIO_read(outgoing, &bytes, Int32(bytes.count))
    return bytes
  }

  func write(_ bytes: [UInt8]) {
    SSL_write(ssl, bytes, Int32(bytes.count))
    ERR_clear_error()
  }

  func read() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = SSL_read(ssl, &bytes, Int32(bytes.count))
    ERR_clear_error()
    return Array(bytes.prefix(Int(max(count, 0))))
  }

  var isComplete: Bool { SSL_is_init_finished(ssl) == 1 }

  var alpn: String? {
    var name: UnsafePointer<UInt8>?
    var length: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &name, &length)
    return length == 0 ? nil : String(decoding: UnsafeBufferPointer(start: name, count: Int(length)), as: UTF8.self)
  }

  /// Has an SSL_CTX offer protocols, in the form that ALPN writes them in.
  static func offer(_ protocols: [UInt8], in context: OpaquePointer) {
    if !protocols.isEmpty { SSL_CTX_set_alpn_protos(context, protocols, UInt32(protocols.count)) }
  }

  /// Puts an identity into an SSL_CTX.
  static func use(_ identity: DevelopmentIdentity, in context: OpaquePointer) {
    let certificate = PEMBytes(copying: identity.certificatePEM).certificates()![0]
    SSL_CTX_use_certificate(context, certificate)
    X509_free(certificate)
    guard case .success(let key) = PEMBytes(copying: identity.privateKeyPEM).privateKey() else { return }
    SSL_CTX_use_PrivateKey(context, key)
    EVP_PKEY_free(key)
  }
}
