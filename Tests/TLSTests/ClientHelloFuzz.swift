// Goal: no beginning of a connection can harm the inspector, and how its bytes come in makes no difference: a verdict is
// never taken back when more bytes come. Method: the input is what a client sent; it is peeked at after each byte.

import COpenSSL
import FuzzSupport
import Testing

@testable import ProxyCore

@Suite("ClientHello fuzzer")
struct ClientHelloFuzz {
  static let target = FuzzTarget("client-hello", inputMax: 2_048) { input in
    var known: ClientHelloInspector.Verdict?
    for count in 0...input.count {
      let verdict = inspect(UnsafeRawBufferPointer(rebasing: input.prefix(count)))
      if let known { try expect(verdict == known, "\(known) became \(verdict) at \(count)") }
      if verdict != .needMoreBytes { known = verdict }
    }
    try checkAgainstOpenSSL(input, known)
  }

  @Test(arguments: target.corpus)
  func replay(_ input: CorpusInput) throws { try Self.target.replay(input) }

  @Test(.enabled(if: target.isWanted))
  func fuzz() { Self.target.fuzz() }

  private static let alpn = Array(Configuration.Identity.alpnDefault.utf8)

  private static func inspect(_ bytes: UnsafeRawBufferPointer) -> ClientHelloInspector.Verdict {
    alpn.withUnsafeBytes { ClientHelloInspector.inspect(bytes, protocolName: $0) }
  }

  // MARK: What libssl makes of it

  /// A hello that offers the mesh's protocol goes to libssl: what libssl would take as such must not pass for another's,
  /// or a mesh client would reach the app without a handshake.
  private static func checkAgainstOpenSSL(
    _ input: UnsafeRawBufferPointer, _ verdict: ClientHelloInspector.Verdict?
  ) throws {
    let offer = Offer()
    let ssl = SSL_new(serverContext)!
    defer { SSL_free(ssl) }
    let incoming = BIO_new(BIO_s_mem())!
    BIO_write(incoming, input.baseAddress, Int32(input.count))
    SSL_set_bio(ssl, incoming, BIO_new(BIO_s_mem()))
    withExtendedLifetime(offer) {
      SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(offer).toOpaque())
      SSL_accept(ssl)
    }
    ERR_clear_error()
    try expect(
      !offer.isOurs || verdict == .tlsWithOurALPN, "libssl sees our protocol, the inspector \(verdict as Any)")
  }

  /// What libssl read in a hello.
  private final class Offer {
    var isOurs = false
  }

  /// Without a certificate: the hello is all that it reads.
  private nonisolated(unsafe) static let serverContext: OpaquePointer = {
    let context = SSL_CTX_new(TLS_server_method())!
    SSL_CTX_set_client_hello_cb(context, { ssl, alert, _ in ClientHelloFuzz.helloCame(ssl, alert) }, nil)
    return context
  }()

  private static func helloCame(_ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?) -> Int32 {
    guard let ssl, let object = SSL_get_ex_data(ssl, 0) else { return SSL_CLIENT_HELLO_ERROR }
    var bytes: UnsafePointer<UInt8>?
    var count = 0
    let alpn = UInt32(TLSEXT_TYPE_application_layer_protocol_negotiation)
    guard SSL_client_hello_get0_ext(ssl, alpn, &bytes, &count) == 1 else { return SSL_CLIENT_HELLO_ERROR }
    let offer = Unmanaged<Offer>.fromOpaque(object).takeUnretainedValue()
    offer.isOurs = contains(UnsafeBufferPointer(start: bytes, count: count))
    return SSL_CLIENT_HELLO_ERROR
  }

  /// Whether a list of protocols (RFC 7301 section 3.1) is in good form and holds ours.
  private static func contains(_ list: UnsafeBufferPointer<UInt8>) -> Bool {
    guard list.count >= 2, Int(list[0]) << 8 | Int(list[1]) == list.count - 2 else { return false }
    var rest = list[2...]
    var isFound = false
    while let length = rest.first {
      guard length > 0, rest.count > Int(length) else { return false }
      let name = rest.dropFirst().prefix(Int(length))
      if name.elementsEqual(alpn) { isFound = true }
      rest = rest.dropFirst(1 + Int(length))
    }
    return isFound
  }
}
