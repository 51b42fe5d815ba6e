// zlib for the admin endpoints. Its initialisers are macros, which Swift doesn't import.
#pragma once
#include <zlib.h>

/// Sets a stream up to write gzip (RFC 1952): 16 added to the window bits asks for that wrapper.
/// Memory level 5 of 9 halves the state to about 140 KiB, at hardly a cost to text.
static inline int sidecar_gzip_begin(z_stream *stream) {
  return deflateInit2(stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 5, Z_DEFAULT_STRATEGY);
}
