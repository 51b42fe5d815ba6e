/// The ways to a `TLSContext`: from the operator's files, and from memory.

extension TLSContext {
  /// Reads the files that the configuration names, checks that they fit each other, and makes a context of them.
  ///
  /// `now` is in Unix seconds. `previous` is the context that is to be replaced, if there is one. `warnings` receives what an
  /// operator should know although the files are usable.
  public static func load(
    _ identity: Configuration.Identity, now: Int64, replacing previous: TLSContext?, warnings: inout [String]
  ) throws(TLSMaterialError) -> TLSContext {
    let material = try TLSMaterial.read(identity)
    warnings += material.warnings
    return try TLSContext(material, alpn: Array(identity.alpn.utf8), now: now, previous: previous)
  }

  /// Makes a context of PEM text in memory, for `demo`.
  public static func make(
    _ identity: DevelopmentIdentity, trustBundlePEM: [UInt8],
    alpn: String = Configuration.Identity.alpnDefault, now: Int64, replacing previous: TLSContext? = nil
  ) throws(TLSMaterialError) -> TLSContext {
    let material = TLSMaterial(
      certificate: identity.certificatePEM, key: identity.privateKeyPEM, bundle: trustBundlePEM)
    return try TLSContext(material, alpn: Array(alpn.utf8), now: now, previous: previous)
  }
}
