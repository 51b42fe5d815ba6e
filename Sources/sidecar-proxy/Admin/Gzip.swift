// gzip for scrapes: metrics text shrinks to a tenth, and Prometheus asks for it.

import CZlib

enum Gzip {
  /// The bytes as one gzip member (RFC 1952); nil when there is no memory for it, and then plain bytes do.
  static func compress(_ bytes: [UInt8]) -> [UInt8]? {
    var stream = z_stream()
    guard sidecar_gzip_begin(&stream) == Z_OK else { return nil }
    defer { deflateEnd(&stream) }
    let capacity = Int(deflateBound(&stream, UInt(bytes.count)))
    var isComplete = false
    let compressed = [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
      bytes.withUnsafeBufferPointer { input in
        // zlib reads the input only; its C declaration lacks the const.
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        stream.avail_in = UInt32(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(output.count)
        isComplete = deflate(&stream, Z_FINISH) == Z_STREAM_END
        count = output.count - Int(stream.avail_out)
      }
    }
    return isComplete ? compressed : nil
  }
}
