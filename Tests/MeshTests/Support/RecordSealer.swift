// Seals TLS 1.3 records by hand, so that a test can send what no proper implementation does: an encrypted ClientHello
// in mid-stream, an alert out of the blue, a content type that doesn't exist.

import COpenSSL

/// The record protection of TLS_AES_128_GCM_SHA256 (RFC 8446 sections 5.2, 5.3 and 7.3).
struct RecordSealer {
  private let key: [UInt8]
  private let staticNonce: [UInt8]

  init(trafficSecret: [UInt8]) {
    key = Self.expand(trafficSecret, "key", 16)
    staticNonce = Self.expand(trafficSecret, "iv", 12)
  }

  func seal(type: UInt8, _ content: [UInt8], sequence: UInt64) -> [UInt8] {
    let plaintext = content + [type]
    let length = plaintext.count + 16
    let header: [UInt8] = [23, 3, 3, UInt8(length >> 8), UInt8(length & 0xff)]
    var nonce = staticNonce
    for index in 0..<8 { nonce[4 + index] ^= UInt8(truncatingIfNeeded: sequence >> (56 - 8 * UInt64(index))) }

    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nil, key, nonce)
    var count: Int32 = 0
    EVP_EncryptUpdate(context, nil, &count, header, Int32(header.count))
    var ciphertext = [UInt8](repeating: 0, count: plaintext.count)
    EVP_EncryptUpdate(context, &ciphertext, &count, plaintext, Int32(plaintext.count))
    EVP_EncryptFinal_ex(context, nil, &count)
    var tag = [UInt8](repeating: 0, count: 16)
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tag.count), &tag)
    return header + ciphertext + tag
  }

  /// HKDF-Expand-Label with an empty context, for at most 32 bytes, which one block of HKDF-Expand gives (RFC 5869).
  private static func expand(_ secret: [UInt8], _ label: String, _ count: Int) -> [UInt8] {
    let name = Array("tls13 \(label)".utf8)
    let info = [0, UInt8(count), UInt8(name.count)] + name + [0, 1]
    var block = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    HMAC(EVP_sha256(), secret, Int32(secret.count), info, info.count, &block, &length)
    return Array(block.prefix(count))
  }
}
