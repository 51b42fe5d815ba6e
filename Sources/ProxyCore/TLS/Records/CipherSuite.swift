/// What a TLS 1.3 cipher suite is made of: the AEAD that protects records and the hash that keys are derived with.

import COpenSSL

/// A cipher suite of RFC 8446 appendix B.4, with its algorithms looked up in libcrypto.
///
/// The look-ups are made once per process: libcrypto would otherwise search its providers by name for each connection.
struct CipherSuite: @unchecked Sendable {
  // The pointers refer to algorithms that live until the process ends and are only read, which libcrypto allows from any
  // thread (openssl-threads(7)).

  /// The AEAD, an EVP_CIPHER.
  let cipher: OpaquePointer
  /// Bytes of an AEAD key.
  let keySize: Int
  let hash: Hash

  enum Hash {
    case sha256
    case sha384

    /// Bytes of a digest, and so of a traffic secret.
    var size: Int { self == .sha256 ? 32 : 48 }
    var name: StaticString { self == .sha256 ? "SHA256" : "SHA384" }
  }

  /// The suite of a number as on the wire; nil for one that we don't know, or that libcrypto doesn't have.
  static func numbered(_ number: UInt16) -> CipherSuite? {
    switch number {
    case 0x1301: aes128GCM
    case 0x1302: aes256GCM
    case 0x1303: chacha20Poly1305
    default: nil
    }
  }

  private static let aes128GCM = CipherSuite("AES-128-GCM", keySize: 16, .sha256)
  private static let aes256GCM = CipherSuite("AES-256-GCM", keySize: 32, .sha384)
  private static let chacha20Poly1305 = CipherSuite("ChaCha20-Poly1305", keySize: 32, .sha256)

  private init?(_ name: String, keySize: Int, _ hash: Hash) {
    guard let cipher = EVP_CIPHER_fetch(nil, name, nil) else {
      ERR_clear_error()
      return nil
    }
    self.cipher = cipher
    self.keySize = keySize
    self.hash = hash
  }
}
