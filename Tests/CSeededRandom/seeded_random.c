// RAND_set_rand_method(3) is deprecated in favour of providers, which would be a hundred lines for the same.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "seeded_random.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

static _Thread_local bool is_seeded;
static _Thread_local uint64_t state;

static pthread_once_t installed = PTHREAD_ONCE_INIT;
static RAND_METHOD method;

// SplitMix64, as in SeededGenerator.swift.
static uint64_t next_number(void) {
  state += 0x9e3779b97f4a7c15;
  uint64_t mixed = state;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
  return mixed ^ mixed >> 31;
}

static int make_bytes(unsigned char *buffer, int count) {
  if (!is_seeded) {
    return RAND_OpenSSL()->bytes(buffer, count);
  }
  for (int index = 0; index < count; index++) {
    buffer[index] = (unsigned char)next_number();
  }
  return 1;
}

static int is_ready(void) {
  return is_seeded ? 1 : RAND_OpenSSL()->status();
}

static void install(void) {
  method = *RAND_OpenSSL();
  method.bytes = make_bytes;
  method.pseudorand = make_bytes;
  method.status = is_ready;
  RAND_set_rand_method(&method);
}

void seeded_random_begin(uint64_t seed) {
  pthread_once(&installed, install);
  state = seed;
  is_seeded = true;
}

void seeded_random_end(void) {
  is_seeded = false;
}
