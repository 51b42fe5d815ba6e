/// The part of TLS 1.3's key schedule that comes after the handshake: from a traffic secret to keys, and to the next secret.

import COpenSSL
import Glibc

/// HKDF-Expand-Label (RFC 8446 section 7.1) with libcrypto's HMAC.
///
/// One MAC context per hash, made when it is first needed and keyed anew for each call. Used by one worker.
struct KeySchedule: ~Copyable {
  private var sha256: OpaquePointer?
  private var sha384: OpaquePointer?

  init() {}

  deinit {
    EVP_MAC_CTX_free(sha256)
    EVP_MAC_CTX_free(sha384)
  }

  /// Fills `output`, at most one digest long, from `secret` with an empty context. False when libcrypto fails.
  mutating func expand(
    _ secret: UnsafeRawBufferPointer, label: StaticString, _ hash: CipherSuite.Hash,
    into output: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(output.count <= hash.size, "one block of HKDF-Expand is enough for all of TLS 1.3")
    guard let mac = context(hash) else { return false }
    // struct HkdfLabel, and the counter of HKDF-Expand's only block (RFC 5869 section 2.3).
    let prefix: StaticString = "tls13 "
    let labelSize = prefix.utf8CodeUnitCount + label.utf8CodeUnitCount
    return withUnsafeTemporaryAllocation(byteCount: labelSize + 5, alignment: 1) { info in
      info.storeBytes(of: UInt16(output.count).bigEndian, as: UInt16.self)
      info[2] = UInt8(labelSize)
      memcpy(info.baseAddress! + 3, prefix.utf8Start, prefix.utf8CodeUnitCount)
      memcpy(info.baseAddress! + 3 + prefix.utf8CodeUnitCount, label.utf8Start, label.utf8CodeUnitCount)
      info[3 + labelSize] = 0
      info[4 + labelSize] = 1
      return withUnsafeTemporaryAllocation(byteCount: CipherSuite.Hash.sha384.size, alignment: 8) { block in
        defer { OPENSSL_cleanse(block.baseAddress, block.count) }
        var length = 0
        guard EVP_MAC_init(mac, secret.bytes, secret.count, nil) == 1,
          EVP_MAC_update(mac, UnsafeRawBufferPointer(info).bytes, info.count) == 1,
          EVP_MAC_final(mac, block.baseAddress?.assumingMemoryBound(to: UInt8.self), &length, block.count) == 1,
          length == hash.size
        else {
          ERR_clear_error()
          return false
        }
        output.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[..<output.count]))
        return true
      }
    }
  }

  /// Wipes the secret that was expanded last: the MAC's context keeps it, and what it made of it, until it gets another.
  mutating func forget(_ hash: CipherSuite.Hash) {
    guard let mac = context(hash) else { return }
    let nothing = InlineArray<48, UInt8>(repeating: 0)
    _ = withUnsafeBytes(of: nothing) { EVP_MAC_init(mac, $0.bytes, hash.size, nil) }
    ERR_clear_error()
  }

  private mutating func context(_ hash: CipherSuite.Hash) -> OpaquePointer? {
    switch hash {
    case .sha256:
      if sha256 == nil { sha256 = Self.makeContext(hash) }
      return sha256
    case .sha384:
      if sha384 == nil { sha384 = Self.makeContext(hash) }
      return sha384
    }
  }

  private static func makeContext(_ hash: CipherSuite.Hash) -> OpaquePointer? {
    guard let hmac = EVP_MAC_fetch(nil, "HMAC", nil) else {
      ERR_clear_error()
      return nil
    }
    // The context keeps a reference of its own.
    defer { EVP_MAC_free(hmac) }
    guard let context = EVP_MAC_CTX_new(hmac) else {
      ERR_clear_error()
      return nil
    }
    // A parameter holds pointers to its key and to its value, so that neither may be a string of Swift's own, which is gone
    // when the call that makes the parameter returns.
    let digest: StaticString = "digest"
    let parameters = [
      OSSL_PARAM_construct_utf8_string(digest.characters, UnsafeMutablePointer(mutating: hash.name.characters), 0),
      OSSL_PARAM_construct_end(),
    ]
    guard EVP_MAC_CTX_set_params(context, parameters) == 1 else {
      ERR_clear_error()
      EVP_MAC_CTX_free(context)
      return nil
    }
    return context
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var bytes: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}

extension StaticString {
  fileprivate var characters: UnsafePointer<CChar> { UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}
