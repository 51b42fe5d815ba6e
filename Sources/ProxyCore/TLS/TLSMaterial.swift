/// Certificates, key and trust bundle on their way from the operator's files to a `TLSContext`: read, then checked against
/// each other, so that a bad set is refused as a whole and with its reason. `TLSContext.load` is the way in.

import COpenSSL
import Glibc

/// The three PEM files, read but not yet believed.
struct TLSMaterial: ~Copyable {
  let certificateFile: String
  let keyFile: String
  let bundleFile: String
  private let certificate: PEMBytes
  private let key: PEMBytes
  private let bundle: PEMBytes
  /// What an operator should know although it is no error.
  let warnings: [String]

  /// Reads the files that the configuration names.
  static func read(_ identity: Configuration.Identity) throws(TLSMaterialError) -> TLSMaterial {
    var mode: mode_t = 0
    let certificate = try PEMBytes.read(path: identity.certificate, mode: &mode)
    let bundle = try PEMBytes.read(path: identity.trustBundle, mode: &mode)
    let key = try PEMBytes.read(path: identity.privateKey, mode: &mode)
    var warnings: [String] = []
    // Kubernetes writes secrets with mode 0640 for an fsGroup; nobody else has any business with a key.
    if mode & mode_t(S_IRWXO | S_IWGRP | S_IXGRP) != 0, !isOnReadOnlyMount(identity.privateKey) {
      let octal = String(mode, radix: 8)
      warnings.append("\(identity.privateKey): has mode 0\(octal), and a private key wants 0600, or 0640 for a group")
    }
    return TLSMaterial(
      files: (identity.certificate, identity.privateKey, identity.trustBundle), certificate: certificate, key: key,
      bundle: bundle, warnings: warnings)
  }

  /// As a Secret's volume is. Its files belong to root, and without an fsGroup they are readable for all or for nobody but
  /// root; who may read them there is decided by who mounts the volume.
  private static func isOnReadOnlyMount(_ path: String) -> Bool {
    var status = statvfs()
    return statvfs(path, &status) == 0 && status.f_flag & UInt(ST_RDONLY) != 0
  }

  /// Takes PEM text from memory.
  init(certificate: [UInt8], key: [UInt8], bundle: [UInt8]) {
    self.init(
      files: ("certificate", "private key", "trust bundle"), certificate: PEMBytes(copying: certificate),
      key: PEMBytes(copying: key), bundle: PEMBytes(copying: bundle), warnings: [])
  }

  private init(
    files: (certificate: String, key: String, bundle: String), certificate: consuming PEMBytes,
    key: consuming PEMBytes, bundle: consuming PEMBytes, warnings: [String]
  ) {
    (certificateFile, keyFile, bundleFile) = files
    self.certificate = certificate
    self.key = key
    self.bundle = bundle
    self.warnings = warnings
  }

  /// Parses everything and checks that it fits together at this moment (Unix seconds).
  borrowing func check(now: Int64) throws(TLSMaterialError) -> CheckedMaterial {
    let chain = CertificateList(try parse(certificate, file: certificateFile))
    let anchors = CertificateList(try parse(bundle, file: bundleFile))
    let leaf = chain.certificates[0]
    let key: OpaquePointer
    switch self.key.privateKey() {
    case .success(let parsed): key = parsed
    case .failure(let reason): throw TLSMaterialError(reason, file: keyFile)
    }
    let owner = PrivateKey(key)
    guard X509_check_private_key(leaf, key) == 1 else {
      ERR_clear_error()
      throw TLSMaterialError(.keyDoesNotFit(certificate: certificateFile), file: keyFile)
    }
    let id = try checkLeaf(leaf, now: now)
    try checkSize(chain)
    let store = try makeStore(anchors)
    try checkPath(chain, store: store.pointer, now: now)
    return CheckedMaterial(chain: chain, anchors: anchors, key: owner, store: store, id: id)
  }

  private borrowing func parse(_ bytes: borrowing PEMBytes, file: String) throws(TLSMaterialError) -> [OpaquePointer] {
    guard let certificates = bytes.certificates() else { throw TLSMaterialError(.malformedCertificate, file: file) }
    guard !certificates.isEmpty else { throw TLSMaterialError(.noCertificate, file: file) }
    return certificates
  }

  private borrowing func checkLeaf(_ leaf: OpaquePointer, now: Int64) throws(TLSMaterialError) -> SPIFFEID {
    var id: SPIFFEID?
    let broken = X509SVID.checkLeaf(leaf) { uri in
      // The bytes were just found valid, so that this can't fail.
      id = try? SPIFFEID(String(decoding: uri, as: UTF8.self))
    }
    guard broken == nil, let id else {
      throw TLSMaterialError(.leafNotSVID(broken ?? .certificateInvalid), file: certificateFile)
    }
    let (notBefore, notAfter) = (X509SVID.notBefore(leaf), X509SVID.notAfter(leaf))
    guard notAfter > now else { throw TLSMaterialError(.expired(notAfter), file: certificateFile) }
    guard notBefore <= now else { throw TLSMaterialError(.notYetValid(notBefore), file: certificateFile) }
    return id
  }

  /// What doesn't fit the message that shows it to a peer (RFC 8446 section 4.4.2) would be refused there.
  private borrowing func checkSize(_ chain: borrowing CertificateList) throws(TLSMaterialError) {
    // Of each certificate the length and the number of extensions come along, of the list its length and a context.
    let size = chain.certificates.reduce(4) { $0 + Int(i2d_X509($1, nil)) + 5 }
    guard size <= TLSContext.peerChainSizeMax else { throw TLSMaterialError(.chainTooLarge, file: certificateFile) }
  }

  private borrowing func makeStore(_ anchors: borrowing CertificateList) throws(TLSMaterialError) -> TrustStore {
    guard let pointer = X509_STORE_new() else {
      throw TLSMaterialError(.unusable(TLSMaterialError.opensslReason()), file: bundleFile)
    }
    let store = TrustStore(pointer)
    for (index, anchor) in anchors.certificates.enumerated() {
      guard X509_check_ca(anchor) != 0 else { throw TLSMaterialError(.anchorNotCA(index + 1), file: bundleFile) }
      guard X509_STORE_add_cert(pointer, anchor) == 1 else {
        throw TLSMaterialError(.unusable(TLSMaterialError.opensslReason()), file: bundleFile)
      }
    }
    return store
  }

  /// A chain that our own bundle doesn't vouch for would be refused by every peer with the same bundle. It must be good for
  /// both ends of TLS, since a sidecar is both.
  private borrowing func checkPath(
    _ chain: borrowing CertificateList, store: OpaquePointer, now: Int64
  ) throws(TLSMaterialError) {
    guard let stack = shim_sk_X509_new_null() else {
      throw TLSMaterialError(.unusable("out of memory"), file: certificateFile)
    }
    defer { shim_sk_X509_pop_free(stack) }
    for certificate in chain.certificates {
      X509_up_ref(certificate)
      _ = shim_sk_X509_push(stack, certificate)
    }
    let verifier = ChainVerifier()
    for role in [TLSRole.client, .server] {
      let verdict = verifier.verify(chain.certificates[0], chain: stack, anchors: store, peerRole: role, now: now)
      ERR_clear_error()
      if case .failure(let failure) = verdict {
        throw TLSMaterialError(.chainUntrusted(bundle: bundleFile, failure), file: certificateFile)
      }
    }
  }
}

/// Material that fits together. The owners inside free what libcrypto allocated; whoever wants to keep something takes a
/// reference of its own.
struct CheckedMaterial: ~Copyable {
  private let certificates: CertificateList
  private let anchors: CertificateList
  private let privateKey: PrivateKey
  private let trustStore: TrustStore
  let id: SPIFFEID

  fileprivate init(
    chain: consuming CertificateList, anchors: consuming CertificateList, key: consuming PrivateKey,
    store: consuming TrustStore, id: SPIFFEID
  ) {
    certificates = chain
    self.anchors = anchors
    privateKey = key
    trustStore = store
    self.id = id
  }

  var leaf: OpaquePointer { certificates.certificates[0] }
  var intermediates: ArraySlice<OpaquePointer> { certificates.certificates.dropFirst() }
  var key: OpaquePointer { privateKey.pointer }
  var store: OpaquePointer { trustStore.pointer }
  var chainSummaries: [CertificateSummary] { certificates.certificates.map(CertificateSummary.init) }
  var bundleSummaries: [CertificateSummary] { anchors.certificates.map(CertificateSummary.init) }

  /// The digest of the anchors' digests in ascending order, so that the order in the file and repetitions don't matter.
  var bundleFingerprint: Fingerprint {
    var digests = anchors.certificates.map { certificate in
      var bytes = [UInt8](repeating: 0, count: Fingerprint.size)
      bytes.withUnsafeMutableBytes { X509SVID.fingerprint(of: certificate).copy(to: $0.baseAddress!) }
      return bytes
    }
    digests.sort { $0.lexicographicallyPrecedes($1) }
    var distinct: [UInt8] = []
    for (index, digest) in digests.enumerated() where index == 0 || digest != digests[index - 1] { distinct += digest }
    return distinct.withUnsafeBytes(X509SVID.digest)
  }
}

/// Owns one reference to each of its certificates.
private struct CertificateList: ~Copyable {
  let certificates: [OpaquePointer]

  init(_ certificates: [OpaquePointer]) { self.certificates = certificates }
  deinit {
    for certificate in certificates { X509_free(certificate) }
  }
}

/// Owns one reference to a key; libcrypto wipes it with the last one.
private struct PrivateKey: ~Copyable {
  let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) { self.pointer = pointer }
  deinit { EVP_PKEY_free(pointer) }
}

/// Owns one reference to a store of anchors.
private struct TrustStore: ~Copyable {
  let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) { self.pointer = pointer }
  deinit { X509_STORE_free(pointer) }
}
