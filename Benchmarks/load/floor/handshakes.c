// What libssl's part of a new connection costs by itself: resumed handshakes with mutual TLS between a client and a server
// in one process, with nothing between them but memory. No pair of relays around libssl is cheaper than this and a pair in
// the clear together.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "library.h"

enum { WARM_UP_COUNT = 50 };

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/// What one of them has said is what the other one reads next.
static void pass_on(void) {
  if (input.consumed < input.count || output.count > sizeof input.bytes) fail("libssl left something of a handshake");
  memcpy(input.bytes, output.bytes, output.count);
  input.count = output.count;
  input.consumed = output.count = 0;
}

/// Whether the session was resumed.
static bool shake_hands(SSL_CTX *clients, SSL_CTX *servers) {
  SSL *client = make_connection(clients, false), *server = make_connection(servers, true);
  for (int turn = 0; turn < 4; turn++) {
    SSL_do_handshake(turn % 2 ? server : client);
    pass_on();
  }
  // The ticket for the next one, which the server sent last.
  char nothing;
  SSL_read(client, &nothing, 1);
  if (!SSL_is_init_finished(client) || !SSL_is_init_finished(server)) fail("there was no handshake");
  bool is_resumed = SSL_session_reused(client) && SSL_session_reused(server);
  free_connection(client);
  free_connection(server);
  return is_resumed;
}

void run_handshakes(double seconds, const struct identity *client, const struct identity *server) {
  SSL_CTX *clients = make_context(client), *servers = make_context(server);
  for (int index = 0; index < WARM_UP_COUNT; index++) shake_hands(clients, servers);
  double cpu = now(CLOCK_PROCESS_CPUTIME_ID), begun = now(CLOCK_MONOTONIC), end;
  unsigned count = 0;
  do {
    if (!shake_hands(clients, servers)) fail("a session was not resumed");
    count++;
  } while ((end = now(CLOCK_MONOTONIC)) < begun + seconds);
  cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  printf(
      "{\"unit\": \"connections\", \"count\": %u, \"seconds\": %.6f, \"cpuNanoseconds\": %.0f}\n", count, end - begun,
      cpu * 1e9);
}
