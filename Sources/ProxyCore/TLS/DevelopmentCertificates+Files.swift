/// Writes development certificates to a directory, for `dev-certs` and for tests with real programs.

import Glibc

extension DevelopmentIdentity {
  /// Writes `<name>.crt`, `<name>.key` (mode 0600) and `ca.crt` into `directory`, which is made if it isn't there.
  ///
  /// Each file is written under another name first and then renamed, so that whoever watches the directory never reads half
  /// of one. The three renames are not one step: the certificate comes last, since a watcher that finds a key that doesn't
  /// fit keeps what it has until the next change.
  public func write(
    toDirectory directory: String, name: String, trustBundlePEM: [UInt8]
  ) throws(DevelopmentCertificateError) {
    if mkdir(directory, 0o755) != 0, errno != EEXIST { throw .unwritable(directory, errno) }
    try replaceFile("\(directory)/ca.crt", with: trustBundlePEM, mode: 0o644)
    try replaceFile("\(directory)/\(name).key", with: privateKeyPEM, mode: 0o600)
    try replaceFile("\(directory)/\(name).crt", with: certificatePEM, mode: 0o644)
  }

  private func replaceFile(_ path: String, with bytes: [UInt8], mode: mode_t) throws(DevelopmentCertificateError) {
    let temporary = "\(path).new"
    // O_EXCL, so that the mode is ours and nobody holds the file open already.
    unlink(temporary)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw .unwritable(temporary, errno) }
    var written = 0
    var code: Int32 = 0
    while written < bytes.count, code == 0 {
      let result = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if result >= 0 { written += result } else if errno != EINTR { code = errno }
    }
    if close(descriptor) != 0, code == 0 { code = errno }
    if code == 0, rename(temporary, path) != 0 { code = errno }
    guard code == 0 else {
      unlink(temporary)
      throw .unwritable(path, code)
    }
  }
}
