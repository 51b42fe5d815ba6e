// The files of a sidecar's identity, as the kubelet mounts a Secret: replaced all at once by moving one link.

import TestSupport

/// A volume with `tls.crt`, `tls.key` and `ca.crt`. Lives as long as the sidecar that reads it.
final class IdentityVolume: Sendable {
  private let directory: TemporaryDirectory

  init(_ credentials: Credentials, bundle: [UInt8]) throws {
    directory = try TemporaryDirectory()
    try write(credentials, bundle: bundle)
  }

  /// Replaces all three files.
  func write(_ credentials: Credentials, bundle: [UInt8]) throws {
    try Volume.write(
      ["tls.crt": credentials.certificate, "tls.key": credentials.privateKey, "ca.crt": bundle], in: path)
  }

  var certificatePath: String { "\(path)/tls.crt" }
  var privateKeyPath: String { "\(path)/tls.key" }
  var trustBundlePath: String { "\(path)/ca.crt" }

  /// The value of the configuration's key `identity`.
  var setting: String { setting(alpn: nil) }

  /// The same with a protocol of one's own.
  func setting(alpn: String?) -> String {
    var keys = [
      "certificate: \"\(certificatePath)\"", "privateKey: \"\(privateKeyPath)\"",
      "trustBundle: \"\(trustBundlePath)\"",
    ]
    if let alpn { keys.append("alpn: \"\(alpn)\"") }
    return "{\(keys.joined(separator: ", "))}"
  }

  private var path: String { directory.file("volume") }
}
