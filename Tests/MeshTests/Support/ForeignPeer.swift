// A TLS peer that is not a sidecar: plain libssl on a socket of the test's own. It stands for curl, for old clients, and
// for those who mean harm: a test can take its records and change them on their way, or forge its own.

import COpenSSL
import Glibc
import TestSupport

/// An SSL object of libssl's over memory BIOs, and the connection that its records travel on.
final class ForeignPeer {
  enum Role { case client, server }

  let connection: Connection
  let ssl: OpaquePointer
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer
  private let keyLog = KeyLog()
  /// Gets every byte that arrives, as it came over the wire.
  var onReceive: ([UInt8]) -> Void = { _ in }
  /// Records of application data that were sealed so far.
  private var recordsSealed: UInt64 = 0

  /// - Parameters:
  ///   - credentials: nil: has none to show.
  ///   - setUp: gets the SSL_CTX before the session is made of it.
  init(
    _ role: Role = .client, on connection: Connection, credentials: Credentials?,
    setUp: (OpaquePointer) -> Void = { _ in }
  ) throws {
    self.connection = connection
    // Out of memory is the only way for these to fail.
    let context = SSL_CTX_new(role == .client ? TLS_client_method() : TLS_server_method())!
    defer { SSL_CTX_free(context) }
    if let credentials { try Self.use(credentials, in: context) }
    SSL_CTX_set_keylog_callback(context) { ssl, line in
      guard let ssl, let line, let log = SSL_get_ex_data(ssl, 0) else { return }
      Unmanaged<KeyLog>.fromOpaque(log).takeUnretainedValue().lines.append(String(cString: line))
    }
    setUp(context)
    ssl = SSL_new(context)!
    incoming = BIO_new(BIO_s_mem())!
    outgoing = BIO_new(BIO_s_mem())!
    SSL_set_bio(ssl, incoming, outgoing)
    SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(keyLog).toOpaque())
    role == .client ? SSL_set_connect_state(ssl) : SSL_set_accept_state(ssl)
  }

  deinit { SSL_free(ssl) }

  /// Another one on the same connection, for its hello.
  func sibling() throws -> ForeignPeer { try ForeignPeer(on: connection, credentials: nil) }

  // MARK: Handshake

  /// Carries the handshake to its end.
  /// - Returns: false when it failed, or when the other side ended the connection.
  func handshake() throws -> Bool {
    while true {
      let result = SSL_do_handshake(ssl)
      let wantsInput = SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ
      ERR_clear_error()
      guard try flush() else { return false }
      if result == 1 { return true }
      guard wantsInput, try receiveRecords() else { return false }
    }
  }

  /// One step of the handshake whose records are not sent.
  /// - Returns: the records.
  func handshakeStep() -> [UInt8] {
    SSL_do_handshake(ssl)
    ERR_clear_error()
    return takeOutput()
  }

  // MARK: Data

  /// Seals bytes and sends them. Sending to somebody who has reset the connection is no error: tests judge by the end.
  func send(_ text: String) throws {
    seal(text)
    _ = try flush()
  }

  /// Records with application data that are not sent.
  func sealed(_ text: String) -> [UInt8] {
    seal(text)
    return takeOutput()
  }

  /// A record of any content type that is sealed under our own keys, as the next one after what was sealed so far.
  ///
  /// libssl only sends what the protocol allows, so that this works from its key log (RFC 8446 sections 5.2 and 7.3).
  /// The handshake has to be over, with TLS_AES_128_GCM_SHA256.
  func forgedRecord(type: UInt8, _ content: [UInt8]) throws -> [UInt8] {
    RecordSealer(trafficSecret: try secret("CLIENT_TRAFFIC_SECRET_0"))
      .seal(type: type, content, sequence: recordsSealed)
  }

  /// A secret of the session, by its label in the key log.
  func secret(_ label: String) throws -> [UInt8] {
    guard let secret = keyLog.secret(label) else { throw HarnessError("the key log has no \(label): \(keyLog.lines)") }
    return secret
  }

  /// The next bytes of plaintext; empty when there will be none.
  func receive() throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = SSL_read(ssl, &buffer, Int32(buffer.count))
      let wantsInput = SSL_get_error(ssl, count) == SSL_ERROR_WANT_READ
      ERR_clear_error()
      if count > 0 { return Array(buffer.prefix(Int(count))) }
      guard wantsInput, try receiveRecords() else { return [] }
    }
  }

  /// Exactly as many bytes as the text has.
  func receive(_ text: String) throws -> Bool {
    var bytes: [UInt8] = []
    while bytes.count < text.utf8.count, case let part = try receive(), !part.isEmpty { bytes += part }
    return bytes == Array(text.utf8)
  }

  /// Says that nothing more will come. The socket stays open.
  func closeNotify() throws { _ = try connection.sendUnlessReset(sealedCloseNotify()) }

  /// The record that says so, which is not sent.
  func sealedCloseNotify() -> [UInt8] {
    SSL_shutdown(ssl)
    ERR_clear_error()
    return takeOutput()
  }

  /// Whether the other side has said so.
  var hasReceivedCloseNotify: Bool { SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN != 0 }

  // MARK: Records

  /// Takes the records that libssl has written.
  func takeOutput() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(BIO_ctrl_pending(outgoing)))
    BIO_read(outgoing, &bytes, Int32(bytes.count))
    return bytes
  }

  /// Waits for records and hands them to libssl.
  /// - Returns: false when the connection has ended.
  func receiveRecords() throws -> Bool {
    do {
      let bytes = try connection.receive()
      onReceive(bytes)
      BIO_write(incoming, bytes, Int32(bytes.count))
      return !bytes.isEmpty
    } catch let error as SystemCallError where error.isReset {
      return false
    }
  }

  /// One record: texts of tests are short.
  private func seal(_ text: String) {
    let bytes = Array(text.utf8)
    if SSL_write(ssl, bytes, Int32(bytes.count)) > 0 { recordsSealed += 1 }
    ERR_clear_error()
  }

  private func flush() throws -> Bool {
    let output = takeOutput()
    return try output.isEmpty || connection.sendUnlessReset(output)
  }

  private static func use(_ credentials: Credentials, in context: OpaquePointer) throws {
    let certificate = try read(credentials.certificate) { PEM_read_bio_X509($0, nil, nil, nil) }
    defer { X509_free(certificate) }
    let key = try read(credentials.privateKey) { PEM_read_bio_PrivateKey($0, nil, nil, nil) }
    defer { EVP_PKEY_free(key) }
    // A certificate that libssl itself doesn't like (its key is too small, say) is a mistake of the test.
    guard SSL_CTX_use_certificate(context, certificate) == 1, SSL_CTX_use_PrivateKey(context, key) == 1 else {
      throw HarnessError("libssl refuses the test's credentials")
    }
  }

  private static func read(_ pem: [UInt8], _ body: (OpaquePointer?) -> OpaquePointer?) throws -> OpaquePointer {
    let bio = BIO_new_mem_buf(pem, Int32(pem.count))
    defer { BIO_free(bio) }
    guard let object = body(bio) else { throw HarnessError("not PEM: \(String(decoding: pem, as: UTF8.self))") }
    return object
  }

  private final class KeyLog {
    var lines: [String] = []

    /// The secret of a line `LABEL random secret`, in hexadecimal; see SSL_CTX_set_keylog_callback(3).
    func secret(_ label: String) -> [UInt8]? {
      guard let line = lines.first(where: { $0.hasPrefix(label + " ") }) else { return nil }
      let digits = Array(line.split(separator: " ")[2].utf8)
      return stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
      }
    }
  }
}

extension Connection {
  /// Waits for the end, whichever it is. The test itself may have closed it already.
  func awaitEnd() { _ = try? ending() }
}

extension SystemCallError {
  /// Whether the other side has reset the connection.
  var isReset: Bool { code == ECONNRESET || code == EPIPE }
}
