// What Swift can't import from OpenSSL's headers: function-like macros and macro-made constants, as static inline
// wrappers and constants of the same name with the prefix `shim_`. ProxyCore/TLS is the only caller.
#pragma once
#include <malloc.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static const uint64_t shim_SSL_OP_NO_COMPRESSION = SSL_OP_NO_COMPRESSION;
static const uint64_t shim_SSL_OP_NO_TICKET = SSL_OP_NO_TICKET;
static const uint64_t shim_SSL_OP_NO_RENEGOTIATION = SSL_OP_NO_RENEGOTIATION;
static const uint64_t shim_SSL_OP_CIPHER_SERVER_PREFERENCE = SSL_OP_CIPHER_SERVER_PREFERENCE;
static const uint64_t shim_SSL_OP_ENABLE_MIDDLEBOX_COMPAT = SSL_OP_ENABLE_MIDDLEBOX_COMPAT;
// Options of OpenSSL 3.2 and later, for a build against 3.0 that runs with a newer library; 3.0 ignores them.
static const uint64_t shim_SSL_OP_NO_TX_CERTIFICATE_COMPRESSION = (uint64_t)1 << 32;
static const uint64_t shim_SSL_OP_NO_RX_CERTIFICATE_COMPRESSION = (uint64_t)1 << 33;
static const unsigned long shim_XN_FLAG_RFC2253 = XN_FLAG_RFC2253;
static const int shim_BIO_FLAGS_RWS = BIO_FLAGS_RWS;

static inline int shim_SSL_CTX_set_min_proto_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_min_proto_version(context, version);
}

static inline void shim_SSL_CTX_set_mode(SSL_CTX *context, long mode) {
  SSL_CTX_set_mode(context, mode);
}

static inline void shim_SSL_CTX_set_session_cache_mode(SSL_CTX *context, long mode) {
  SSL_CTX_set_session_cache_mode(context, mode);
}

static inline int shim_SSL_CTX_set1_groups_list(SSL_CTX *context, const char *list) {
  return (int)SSL_CTX_set1_groups_list(context, (char *)list);
}

static inline int shim_SSL_CTX_set1_sigalgs_list(SSL_CTX *context, const char *list) {
  return (int)SSL_CTX_set1_sigalgs_list(context, (char *)list);
}

static inline void shim_SSL_CTX_set_max_cert_list(SSL_CTX *context, long bytes) {
  SSL_CTX_set_max_cert_list(context, bytes);
}

static inline int shim_SSL_CTX_add1_chain_cert(SSL_CTX *context, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

static inline STACK_OF(X509) *shim_sk_X509_new_null(void) {
  return sk_X509_new_null();
}

static inline int shim_sk_X509_num(const STACK_OF(X509) *stack) {
  return sk_X509_num(stack);
}

static inline X509 *shim_sk_X509_value(const STACK_OF(X509) *stack, int index) {
  return sk_X509_value(stack, index);
}

static inline int shim_sk_X509_push(STACK_OF(X509) *stack, X509 *certificate) {
  return sk_X509_push(stack, certificate);
}

static inline X509 *shim_sk_X509_pop(STACK_OF(X509) *stack) {
  return sk_X509_pop(stack);
}

static inline X509 *shim_sk_X509_set(STACK_OF(X509) *stack, int index, X509 *certificate) {
  return sk_X509_set(stack, index, certificate);
}

static inline void shim_sk_X509_pop_free(STACK_OF(X509) *stack) {
  sk_X509_pop_free(stack, X509_free);
}

static inline GENERAL_NAMES *shim_GENERAL_NAMES_new(void) {
  return sk_GENERAL_NAME_new_null();
}

static inline int shim_GENERAL_NAMES_push(GENERAL_NAMES *names, GENERAL_NAME *name) {
  return sk_GENERAL_NAME_push(names, name);
}

static inline int shim_GENERAL_NAMES_num(const GENERAL_NAMES *names) {
  return sk_GENERAL_NAME_num(names);
}

static inline const GENERAL_NAME *shim_GENERAL_NAMES_value(const GENERAL_NAMES *names, int index) {
  return sk_GENERAL_NAME_value(names, index);
}

/// The text of a URI name, or NULL when the name is of another type; not terminated by a zero.
static inline const ASN1_IA5STRING *shim_GENERAL_NAME_get0_uri(const GENERAL_NAME *name) {
  return name->type == GEN_URI ? name->d.uniformResourceIdentifier : NULL;
}

static inline EVP_PKEY *shim_EVP_EC_gen(const char *curve) {
  return EVP_EC_gen(curve);
}

static inline long shim_BIO_get_mem_data(BIO *bio, char **data) {
  return BIO_get_mem_data(bio, data);
}

/// Whether the CPU has instructions for AES, without which ChaCha20 is the faster cipher.
static inline int shim_cpu_has_aes(void) {
#if defined(__x86_64__)
  unsigned int a, b, c = 0, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AES) != 0;
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & (1UL << 3)) != 0;  // HWCAP_AES
#else
  return 0;
#endif
}
