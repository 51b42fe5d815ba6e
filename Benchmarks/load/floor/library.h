// What the kinds with TLS share: libssl's contexts and connections, and the memory that these read from and write to.
#pragma once
#include <openssl/ssl.h>

#include "floor.h"

enum {
  PIECE_BYTES = 256 << 10,
  /// A piece in records, or a piece and the rest of a record that came before it.
  ROOM_BYTES = PIECE_BYTES + (64 << 10),
};

/// What libssl reads and writes. Received bytes are read to their end before the next are received, and written ones are
/// sent before anybody else's.
extern struct input {
  char bytes[PIECE_BYTES];
  size_t count, consumed;
} input;
extern struct output {
  char bytes[ROOM_BYTES];
  size_t count;
} output;

/// Verifies its peer's chain, and resumes sessions: the side that terminates keeps them by their names, the other one has
/// the last that it was given.
SSL_CTX *make_context(const struct identity *own);
/// A connection that is about to shake hands.
SSL *make_connection(SSL_CTX *context, bool terminates);
void free_connection(SSL *tls);
