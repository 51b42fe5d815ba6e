/// What can be wrong with the certificates, the key or the trust bundle that an operator has given us. `run`, `validate` and
/// the reload show it.

import COpenSSL
import Glibc

/// One line for an operator: the file, what is wrong with it, and how to mend it.
public struct TLSMaterialError: Error, Sendable, Equatable, CustomStringConvertible {
  public let file: String
  public let reason: Reason

  init(_ reason: Reason, file: String) {
    self.reason = reason
    self.file = file
  }

  public enum Reason: Error, Sendable, Equatable {
    /// errno of open(2) or read(2).
    case unreadable(Int32)
    /// A FIFO, a device or a directory.
    case notRegular
    case tooLarge
    case noCertificate
    case malformedCertificate
    case noKey
    case malformedKey
    case encryptedKey
    case keyDoesNotFit(certificate: String)
    /// When it expired, in Unix seconds.
    case expired(Int64)
    /// When it begins to be valid, in Unix seconds.
    case notYetValid(Int64)
    /// The first certificate breaks a rule for SVIDs.
    case leafNotSVID(TLSFailure)
    /// Peers would refuse the chain for its size.
    case chainTooLarge
    /// The chain doesn't lead to the bundle.
    case chainUntrusted(bundle: String, TLSFailure)
    /// A certificate of the bundle, counted from 1, can't sign others.
    case anchorNotCA(Int)
    /// libssl refused the material, in its own words.
    case unusable(String)
  }

  public var description: String { "\(file): \(text)" }

  private var text: String {
    switch reason {
    case .unreadable(let code):
      "can't be read: \(String(cString: strerror(code))); check the path, the volume and the permissions"
    case .notRegular:
      "is a pipe, a device or a directory; give the path of a regular file in PEM"
    case .tooLarge:
      "is larger than 1 MiB; is this the right file?"
    case .noCertificate:
      "holds no certificate; expected PEM blocks that begin with -----BEGIN CERTIFICATE-----"
    case .malformedCertificate:
      "holds a damaged certificate; write the PEM file anew"
    case .noKey:
      "holds no private key; expected a PEM block that begins with -----BEGIN PRIVATE KEY-----"
    case .malformedKey:
      "holds a damaged private key; write the PEM file anew"
    case .encryptedKey:
      "is protected by a passphrase; store the key without one and protect the file by its permissions"
    case .keyDoesNotFit(let certificate):
      "is not the key of the first certificate in \(certificate); was only one of the two files replaced?"
    case .expired(let time):
      "expired on \(Self.date(time)); renew it, or check this machine's clock"
    case .notYetValid(let time):
      "is not valid before \(Self.date(time)); check this machine's clock and that of its issuer"
    case .leafNotSVID(let rule):
      "doesn't begin with an X.509-SVID: \(rule.explanation); the first certificate must be the workload's own"
    case .chainTooLarge:
      "holds a chain of more than \(TLSContext.peerChainSizeMax >> 10) KiB, which sidecars refuse; leave out what doesn't lead from the leaf to the bundle"
    case .chainUntrusted(let bundle, let failure):
      "doesn't chain to \(bundle): \(failure.explanation); add the missing intermediate to the chain or its issuer to the bundle"
    case .anchorNotCA(let position):
      "certificate \(position) is not a CA certificate; the trust bundle holds issuers only"
    case .unusable(let words):
      "was refused by OpenSSL: \(words)"
    }
  }

  /// The words of the first error in the thread's queue, which is emptied.
  static func opensslReason() -> String {
    defer { ERR_clear_error() }
    let error = ERR_peek_error()
    guard error != 0, let words = ERR_reason_error_string(error) else { return "no reason given" }
    return String(cString: words)
  }

  /// A moment in the form of RFC 3339, to the second.
  static func date(_ unixTime: Int64) -> String {
    var time = time_t(unixTime)
    var fields = tm()
    guard gmtime_r(&time, &fields) != nil else { return "\(unixTime)" }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { text in
      strftime(text.baseAddress!, text.count, "%Y-%m-%dT%H:%M:%SZ", &fields)
      return String(cString: text.baseAddress!)
    }
  }
}
