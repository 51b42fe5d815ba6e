/// One direction's record protection: the traffic secret, the AEAD under the key that comes of it, and the count of records
/// (RFC 8446 sections 5.2, 5.3, 7.3).

import COpenSSL

/// Seals or opens records of one direction of one connection.
///
/// A plain value in the memory of its `RecordLayer`, which wipes it: whoever copies it copies secrets.
struct RecordKey {
  /// The traffic secret; its first `secretSize` bytes are in use. Kept for the next key update.
  private var secret = InlineArray<48, UInt8>(repeating: 0)
  private(set) var secretSize = 0
  /// The per-record nonce is this with the sequence number in its last eight bytes (section 5.3), big-endian both.
  private var nonceHead: UInt32 = 0
  private var nonceTail: UInt64 = 0
  /// Records under the present key so far. It can't wrap: keys are changed long before.
  var sequence: UInt64 = 0
  /// An EVP_CIPHER_CTX with the key in it; nil until `begin`.
  private var cipher: OpaquePointer?

  /// Notes the first traffic secret. Its length is the hash's.
  mutating func learn(secret bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count <= secret.count)
    withUnsafeMutableBytes(of: &secret) { $0.copyMemory(from: bytes) }
    secretSize = bytes.count
  }

  /// Makes the key, for a direction in which `sequence` records have passed under it already. False when memory is short,
  /// or the secret was never learnt.
  mutating func begin(_ suite: CipherSuite, sequence: UInt64, isSealing: Bool, _ schedule: inout KeySchedule) -> Bool {
    guard secretSize == suite.hash.size, let context = EVP_CIPHER_CTX_new() else { return false }
    cipher = context
    defer { schedule.forget(suite.hash) }
    guard EVP_CipherInit_ex(context, suite.cipher, nil, nil, nil, isSealing ? 1 : 0) == 1,
      deriveKey(suite, &schedule)
    else {
      ERR_clear_error()
      return false
    }
    self.sequence = sequence
    return true
  }

  /// Goes on to the next secret and key (section 7.2); records are counted anew.
  mutating func update(_ suite: CipherSuite, _ schedule: inout KeySchedule) -> Bool {
    let size = secretSize
    return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { next in
      defer {
        OPENSSL_cleanse(next.baseAddress, size)
        schedule.forget(suite.hash)
      }
      guard expand("traffic upd", suite, into: next, &schedule) else { return false }
      learn(secret: UnsafeRawBufferPointer(next))
      sequence = 0
      return deriveKey(suite, &schedule)
    }
  }

  /// The caller wipes the memory that this value lies in.
  mutating func end() {
    EVP_CIPHER_CTX_free(cipher)
    cipher = nil
  }

  private mutating func deriveKey(_ suite: CipherSuite, _ schedule: inout KeySchedule) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 32 + RecordFormat.nonceSize, alignment: 8) { memory in
      defer { OPENSSL_cleanse(memory.baseAddress, memory.count) }
      let key = UnsafeMutableRawBufferPointer(rebasing: memory[..<suite.keySize])
      let nonce = UnsafeMutableRawBufferPointer(rebasing: memory[32...])
      guard expand("key", suite, into: key, &schedule),
        expand("iv", suite, into: nonce, &schedule),
        EVP_CipherInit_ex(cipher, nil, nil, key.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, -1) == 1
      else {
        ERR_clear_error()
        return false
      }
      nonceHead = UInt32(bigEndian: nonce.loadUnaligned(as: UInt32.self))
      nonceTail = UInt64(bigEndian: nonce.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
      return true
    }
  }

  private mutating func expand(
    _ label: StaticString, _ suite: CipherSuite, into output: UnsafeMutableRawBufferPointer,
    _ schedule: inout KeySchedule
  ) -> Bool {
    let size = secretSize
    return withUnsafeMutableBytes(of: &secret) { secret in
      schedule.expand(UnsafeRawBufferPointer(rebasing: secret[..<size]), label: label, suite.hash, into: output)
    }
  }

  // MARK: Records

  /// Writes one record at `record`, which has room for the content and `RecordFormat.overhead`. False when libcrypto fails.
  mutating func seal(
    _ content: UnsafePointer<UInt8>?, count: Int, type: RecordFormat.ContentType, at record: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    seal(content, count: count, typeByte: type.rawValue, at: record)
  }

  /// The same with any byte for a type, as only a hostile peer would seal one.
  mutating func seal(
    _ content: UnsafePointer<UInt8>?, count: Int, typeByte: UInt8, at record: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    let bodySize = count + 1 + RecordFormat.tagSize
    record[0] = RecordFormat.ContentType.applicationData.rawValue
    record[1] = 3
    record[2] = 3
    record[3] = UInt8(truncatingIfNeeded: bodySize >> 8)
    record[4] = UInt8(truncatingIfNeeded: bodySize)
    let body = record + RecordFormat.headerSize
    var type = typeByte
    var written: Int32 = 0
    guard setNonce(), EVP_EncryptUpdate(cipher, nil, &written, record, Int32(RecordFormat.headerSize)) == 1,
      count == 0 || EVP_EncryptUpdate(cipher, body, &written, content, Int32(count)) == 1,
      EVP_EncryptUpdate(cipher, body + count, &written, &type, 1) == 1,
      EVP_EncryptFinal_ex(cipher, body + count + 1, &written) == 1,
      EVP_CIPHER_CTX_ctrl(
        cipher, EVP_CTRL_AEAD_GET_TAG, Int32(RecordFormat.tagSize), UnsafeMutableRawPointer(body + count + 1)) == 1
    else {
      ERR_clear_error()
      return false
    }
    sequence &+= 1
    return true
  }

  /// Opens the whole record at `record` into `content`, which has room for `bodySize` less the tag: the content, its type
  /// and the padding. False when it was not sealed with our peer's key, or was changed, replayed or moved since; what
  /// `content` holds then must not be used.
  mutating func open(
    _ record: UnsafePointer<UInt8>, bodySize: Int, into content: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    let body = record + RecordFormat.headerSize
    let sealedSize = bodySize - RecordFormat.tagSize
    var written: Int32 = 0
    guard setNonce(),
      EVP_CIPHER_CTX_ctrl(
        cipher, EVP_CTRL_AEAD_SET_TAG, Int32(RecordFormat.tagSize), UnsafeMutableRawPointer(mutating: body + sealedSize)
      )
        == 1,
      EVP_DecryptUpdate(cipher, nil, &written, record, Int32(RecordFormat.headerSize)) == 1,
      EVP_DecryptUpdate(cipher, content, &written, body, Int32(sealedSize)) == 1,
      EVP_DecryptFinal_ex(cipher, content + sealedSize, &written) == 1
    else {
      ERR_clear_error()
      return false
    }
    sequence &+= 1
    return true
  }

  private func setNonce() -> Bool {
    var nonce = InlineArray<12, UInt8>(repeating: 0)
    return withUnsafeMutableBytes(of: &nonce) { bytes in
      bytes.storeBytes(of: nonceHead.bigEndian, as: UInt32.self)
      bytes.storeBytes(of: (nonceTail ^ sequence).bigEndian, toByteOffset: 4, as: UInt64.self)
      let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
      return EVP_CipherInit_ex(cipher, nil, nil, nil, start, -1) == 1
    }
  }
}

/// The shape of a protected record (RFC 8446 sections 5.1, 5.2).
enum RecordFormat {
  static var headerSize: Int { 5 }
  static var tagSize: Int { 16 }
  static var nonceSize: Int { 12 }
  /// The most content of one record, in bytes.
  static var contentMax: Int { 16_384 }
  /// The most that may follow a header, in bytes.
  static var bodyMax: Int { contentMax + 256 }
  /// What a record adds to its content: the header, the content type, the tag.
  static var overhead: Int { headerSize + 1 + tagSize }

  enum ContentType: UInt8 {
    case alert = 21
    case handshake = 22
    case applicationData = 23
  }
}
