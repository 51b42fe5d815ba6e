/// libcrypto's memory, wiped where libcrypto doesn't do it itself. It wipes keys that are objects of their own. The traffic
/// secrets lie within the object of their connection, which it gives back as it is.

import COpenSSL
import Glibc

public enum WipingMemory {
  /// Sets it up for the process, before anything else is asked of libcrypto. See CRYPTO_set_mem_functions(3).
  public static func install() {
    let isFirst = CRYPTO_set_mem_functions(nil, nil) { block, _, _ in
      guard let block else { return }
      let size = malloc_usable_size(block)
      // OPENSSL_cleanse(3) goes word by word, and record buffers of 16 KiB come back several times in a handshake.
      if size >= WipingMemory.sizeMin { explicit_bzero(block, size) }
      free(block)
    }
    precondition(isFirst == 1, "libcrypto has been used before its memory was set up")
  }

  /// Bytes; a connection's object has several thousand. Of the thousand smaller blocks of a handshake none needs it.
  private static let sizeMin = 2_048
}
