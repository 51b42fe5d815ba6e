/// The content of a PEM file in memory of our own, so that a private key can be wiped. `TLSMaterial` reads its files into
/// these.

import COpenSSL
import Glibc

/// Bytes that are zeroed before their memory is given back.
struct PEMBytes: ~Copyable {
  private let memory: UnsafeMutableRawBufferPointer
  /// The number of bytes that are filled.
  let count: Int

  init(copying bytes: [UInt8]) {
    memory = .allocate(byteCount: max(bytes.count, 1), alignment: 1)
    count = bytes.count
    memory.copyBytes(from: bytes)
  }

  private init(adopting memory: UnsafeMutableRawBufferPointer, count: Int) {
    self.memory = memory
    self.count = count
  }

  /// Reads a whole file. `mode` receives its permission bits.
  static func read(path: String, mode: inout mode_t) throws(TLSMaterialError) -> PEMBytes {
    let (descriptor, fileMode) = try open(path)
    defer { close(descriptor) }
    mode = fileMode & 0o7777
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.sizeMax + 1, alignment: 1)
    var count = 0
    var failure: TLSMaterialError.Reason?
    // A file that a writer is just replacing may be short; whatever is wrong with it then shows when it is parsed, and
    // the next change notice reads it again.
    while count < memory.count {
      let result = Glibc.read(descriptor, memory.baseAddress! + count, memory.count - count)
      if result < 0, errno == EINTR { continue }
      if result < 0 { failure = .unreadable(errno) }
      if result <= 0 { break }
      count += result
    }
    if count > sizeMax { failure = .tooLarge }
    // Owns the memory from here on, so that a half-read key is wiped as well.
    let bytes = PEMBytes(adopting: memory, count: count)
    if let failure { throw TLSMaterialError(failure, file: path) }
    return bytes
  }

  /// Opens a regular file for reading, and nothing else: a FIFO or a terminal would keep the control thread waiting for
  /// whoever writes to it, and with it signals, reloads and the drain.
  /// - Returns: the descriptor, which is the caller's, and the file's mode.
  static func open(_ path: String) throws(TLSMaterialError) -> (descriptor: Int32, mode: mode_t) {
    // Without O_NONBLOCK, already opening a FIFO lasts until somebody opens it for writing (fifo(7)).
    let descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw TLSMaterialError(.unreadable(errno), file: path) }
    var status = stat()
    let result = fstat(descriptor, &status)
    guard result == 0, status.st_mode & S_IFMT == S_IFREG else {
      let reason: TLSMaterialError.Reason = result == 0 ? .notRegular : .unreadable(errno)
      close(descriptor)
      throw TLSMaterialError(reason, file: path)
    }
    return (descriptor, status.st_mode)
  }

  deinit {
    OPENSSL_cleanse(memory.baseAddress, memory.count)
    memory.deallocate()
  }

  /// Calls `body` with a BIO that reads the bytes, valid for the call.
  borrowing func withBIO<Result>(_ body: (OpaquePointer) -> Result) -> Result {
    guard let bio = BIO_new_mem_buf(memory.baseAddress, Int32(count)) else { fatalError("out of memory for a BIO") }
    defer { BIO_free(bio) }
    return body(bio)
  }

  /// All certificates in the bytes, in order; the caller frees them. Nil when one of them is malformed.
  borrowing func certificates() -> [OpaquePointer]? {
    withBIO { bio in
      var certificates: [OpaquePointer] = []
      while let certificate = PEM_read_bio_X509(bio, nil, refusePassphrase, nil) { certificates.append(certificate) }
      // The end of the list is "no start line"; everything else is damage.
      let error = ERR_peek_last_error()
      let isEnd = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE
      ERR_clear_error()
      if isEnd { return certificates }
      for certificate in certificates { X509_free(certificate) }
      return nil
    }
  }

  /// The private key in the bytes; the caller frees it. Fails with the reason why there is none.
  borrowing func privateKey() -> Result<OpaquePointer, TLSMaterialError.Reason> {
    // The text is asked for the reason and not libcrypto's errors: those of its decoders differ from version to version.
    guard contains("PRIVATE KEY-----") else { return .failure(.noKey) }
    guard !contains("ENCRYPTED") else { return .failure(.encryptedKey) }
    return withBIO { bio in
      defer { ERR_clear_error() }
      guard let key = PEM_read_bio_PrivateKey(bio, nil, refusePassphrase, nil) else { return .failure(.malformedKey) }
      return .success(key)
    }
  }

  private borrowing func contains(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard let start = memory.baseAddress, count >= length else { return false }
    return (0...(count - length)).contains { memcmp(start + $0, text.utf8Start, length) == 0 }
  }

  /// More than any bundle needs; what keeps a wrong path (a log) from filling the memory.
  private static let sizeMax = 1 << 20
}

/// Says that there is no passphrase, where libcrypto's default would ask for one on the terminal. See pem_password_cb(3).
private func refusePassphrase(
  _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _ isWriting: Int32, _ argument: UnsafeMutableRawPointer?
) -> Int32 { -1 }
