/// Whom a TLS peer has proved to be. The verifier makes one for each new leaf certificate; sessions, the cache of verified
/// leaves and the cache of tickets share it, so that a thousand connections of one peer hold its name once.

import COpenSSL
import Glibc

/// A SPIFFE ID and how long it holds, in a block of memory that is counted by hand.
///
/// Counted by hand, and without atomics, because it never leaves the worker that made it, and because a class would bring
/// retain and release calls into the connection's slot. Every holder owns one count: `retain` makes one, `release` gives
/// it back.
struct PeerIdentity {
  private let block: UnsafeMutablePointer<Header>

  /// The first moment, in Unix seconds, at which a certificate of the verified chain is no longer valid.
  var notAfter: Int64 { block.pointee.notAfter }

  /// The SHA-256 of the leaf certificate's DER form.
  var fingerprint: Fingerprint { block.pointee.fingerprint }

  /// The SPIFFE ID, a URI in ASCII. Valid while the caller's count lasts.
  var uri: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: UnsafeRawPointer(block + 1), count: Int(block.pointee.count))
  }

  /// A new block with one count, which the caller owns. `uri` has been validated.
  init(uri: UnsafeRawBufferPointer, fingerprint: Fingerprint, notAfter: Int64) {
    precondition(uri.count <= SPIFFEID.lengthMax)
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<Header>.stride + uri.count, alignment: MemoryLayout<Header>.alignment)
    block = memory.bindMemory(to: Header.self, capacity: 1)
    block.initialize(
      to: Header(references: 1, count: UInt32(uri.count), notAfter: notAfter, fingerprint: fingerprint))
    memory.advanced(by: MemoryLayout<Header>.stride).copyMemory(from: uri.baseAddress!, byteCount: uri.count)
  }

  /// Makes another count for another holder.
  func retain() -> PeerIdentity {
    block.pointee.references += 1
    return self
  }

  /// Gives a count back; the last one frees the block.
  func release() {
    block.pointee.references -= 1
    if block.pointee.references == 0 { block.deallocate() }
  }

  private struct Header {
    var references: UInt32
    let count: UInt32
    let notAfter: Int64
    let fingerprint: Fingerprint
  }
}

/// A SHA-256 digest as a plain value.
struct Fingerprint: Hashable {
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// A digest from its 32 bytes.
  init(_ bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == Self.size)
    words = bytes.loadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self)
  }

  /// All zeros, which is the digest of nothing that anybody knows.
  init() { words = (0, 0, 0, 0) }

  static let size = 32

  /// A number that is as good as random: the digest's first bytes.
  var prefix: UInt64 { words.0 }

  /// Copies the 32 bytes to `destination`.
  func copy(to destination: UnsafeMutableRawPointer) {
    destination.storeBytes(of: words, as: (UInt64, UInt64, UInt64, UInt64).self)
  }

  static func == (left: Fingerprint, right: Fingerprint) -> Bool { left.words == right.words }

  func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
