/// The BIO through which libssl reads ciphertext and writes records: straight from the buffer that the kernel filled and
/// straight into the send buffer. `TLSEngine` makes one for its worker; `TLSSession` opens the windows around each call.

import COpenSSL
import Glibc

/// The custom BIO method. It never blocks and it never fails: without input, or without room, it asks to be called again.
///
/// Its data pointer refers to the state of the worker's `TLSEngine`, where `TLSSession` leaves the windows of the session
/// that is being driven. So all sessions of a worker share one BIO, and an idle connection pays nothing for it. libssl
/// pushes a buffering BIO of its own in front of it while a handshake lasts; that only links towards ours, never from it.
enum WindowBIO {
  /// A BIO over the windows in `state`, which must outlive it. The caller owns the one reference.
  static func make(state: UnsafeMutablePointer<TLSEngine.State>) -> OpaquePointer {
    guard let bio = BIO_new(method.pointer) else { fatalError("out of memory for a BIO") }
    BIO_set_data(bio, state)
    BIO_set_init(bio, 1)
    return bio
  }

  /// The state behind the BIO of a session, for libssl's callbacks, which are only told the session.
  static func state(of ssl: OpaquePointer?) -> UnsafeMutablePointer<TLSEngine.State> {
    guard let data = BIO_get_data(SSL_get_rbio(ssl)) else { preconditionFailure("a session without our BIO") }
    return data.assumingMemoryBound(to: TLSEngine.State.self)
  }

  /// Made once and never freed, since BIOs may live until the process ends.
  private static let method = Method()

  private struct Method: @unchecked Sendable {
    // Immutable after init, which is why sharing the pointer between workers is safe.
    let pointer: OpaquePointer

    init() {
      guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "window") else {
        fatalError("out of memory for a BIO method")
      }
      BIO_meth_set_read(method, readWindow)
      BIO_meth_set_write(method, writeWindow)
      BIO_meth_set_ctrl(method, controlWindow)
      pointer = method
    }
  }
}

/// Takes up to `length` bytes from the input window; -1 with the retry flag when it is empty. See BIO_meth_set_read(3).
private func readWindow(_ bio: OpaquePointer?, _ destination: UnsafeMutablePointer<CChar>?, _ length: Int32) -> Int32 {
  BIO_clear_flags(bio, shim_BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
  guard let state = BIO_get_data(bio)?.assumingMemoryBound(to: TLSEngine.State.self), let destination, length > 0 else {
    return 0
  }
  let taken = min(Int(length), state.pointee.input.count)
  guard taken > 0, let source = state.pointee.input.start else {
    BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
    return -1
  }
  memcpy(destination, source, taken)
  state.pointee.input.advance(by: taken)
  return Int32(taken)
}

/// Puts up to `length` bytes into the output window; -1 with the retry flag when it is full. See BIO_meth_set_write(3).
private func writeWindow(_ bio: OpaquePointer?, _ source: UnsafePointer<CChar>?, _ length: Int32) -> Int32 {
  BIO_clear_flags(bio, shim_BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
  guard let state = BIO_get_data(bio)?.assumingMemoryBound(to: TLSEngine.State.self), let source, length > 0 else {
    return 0
  }
  let put = min(Int(length), state.pointee.output.room)
  guard put > 0, let destination = state.pointee.output.end else {
    BIO_set_flags(bio, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    return -1
  }
  memcpy(destination, source, put)
  state.pointee.output.fill(put)
  return Int32(put)
}

/// Flushing succeeds, because there is nothing behind the window to flush to; every other control is unknown.
private func controlWindow(
  _ bio: OpaquePointer?, _ command: Int32, _ number: Int, _ pointer: UnsafeMutableRawPointer?
) -> Int {
  command == BIO_CTRL_FLUSH ? 1 : 0
}
