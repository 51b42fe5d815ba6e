// libssl as the kinds with TLS use it.
#include <string.h>

#include "library.h"

struct input input;
struct output output;

enum { SESSIONS_MAX = 128 };

/// The last one that a server gave.
static SSL_SESSION *session;

static int read_input(BIO *bio, char *bytes, int count) {
  size_t left = input.count - input.consumed;
  BIO_clear_retry_flags(bio);
  if (left == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  if ((size_t)count > left) count = (int)left;
  memcpy(bytes, input.bytes + input.consumed, (size_t)count);
  input.consumed += (size_t)count;
  return count;
}

static int write_output(BIO *bio, const char *bytes, int count) {
  (void)bio;
  if ((size_t)count > sizeof output.bytes - output.count) fail("libssl wrote more than a piece and its records");
  memcpy(output.bytes + output.count, bytes, (size_t)count);
  output.count += (size_t)count;
  return count;
}

static long control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

static int keep_session(SSL *tls, SSL_SESSION *given) {
  (void)tls;
  SSL_SESSION_free(session);
  session = given;
  return 1;
}

SSL_CTX *make_context(const struct identity *own) {
  SSL_CTX *context = SSL_CTX_new(TLS_method());
  if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
      !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") || !SSL_CTX_set1_groups_list(context, "X25519") ||
      SSL_CTX_use_certificate_chain_file(context, own->certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, own->private_key, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_load_verify_locations(context, own->trust_bundle, NULL) != 1) {
    fail("certificate, key or trust bundle");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  SSL_CTX_set_read_ahead(context, 1);
  // Tickets that name a session are cheaper than those that hold it: there is no key to schedule for each.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_session_id_context(context, (const unsigned char *)"floor", 5);
  if (own->terminates) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
    // Some more than are under way at a time. The default of 20,480 goes on taking memory throughout a sample.
    SSL_CTX_sess_set_cache_size(context, SESSIONS_MAX);
  } else {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep_session);
  }
  return context;
}

SSL *make_connection(SSL_CTX *context, bool terminates) {
  static BIO_METHOD *method;
  if (!method) {
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "floor");
    BIO_meth_set_read(method, read_input);
    BIO_meth_set_write(method, write_output);
    BIO_meth_set_ctrl(method, control);
  }
  BIO *bio = BIO_new(method);
  SSL *tls = SSL_new(context);
  if (!bio || !tls) fail("out of memory");
  BIO_set_init(bio, 1);
  SSL_set_bio(tls, bio, bio);
  if (terminates) {
    SSL_set_accept_state(tls);
  } else {
    SSL_set_connect_state(tls);
    if (session) SSL_set_session(tls, session);
  }
  return tls;
}

void free_connection(SSL *tls) {
  // Not a broken connection, whose session libssl would forget.
  SSL_set_shutdown(tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(tls);
}
