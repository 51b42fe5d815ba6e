// What a new connection with mutual TLS costs between the two proxies of a pair, by itself: a TCP connection on loopback, a
// resumed handshake, a request, a reply, and both ends. Two processes, a client and a server, take a batch of connections
// through each step before the next, so that they seldom take turns, and no loop looks for what is ready. A pair of relays
// around libssl does all of this, and for its other two connections what a single relay does.
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "library.h"

enum {
  /// As many as the generator has at the same time.
  BATCH_COUNT = 16,
  WARM_UP_COUNT = 4,
  MESSAGE_BYTES = 64,
};

/// One end of a connection between the two.
struct side {
  int descriptor;
  SSL *tls;
};

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void send_output(struct side *side, int flags) {
  if (output.count == 0) fail("libssl had nothing to say");
  ssize_t sent = send(side->descriptor, output.bytes, output.count, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
  if (sent != (ssize_t)output.count) fail("a socket buffer did not take what libssl wrote");
  output.count = 0;
}

/// What the other side has sent is what libssl reads next. Each step of the other's is one send(2), and arrives as a whole.
static void receive_input(struct side *side) {
  if (input.consumed < input.count) fail("libssl left something of what was received");
  ssize_t count = recv(side->descriptor, input.bytes, sizeof input.bytes, 0);
  if (count <= 0) fail("a connection ended before its time");
  input.count = (size_t)count;
  input.consumed = 0;
}

static void read_message(struct side *side) {
  char message[MESSAGE_BYTES];
  receive_input(side);
  if (SSL_read(side->tls, message, sizeof message) != sizeof message) fail("a message has not come");
}

static void write_message(struct side *side) {
  static const char message[MESSAGE_BYTES];
  if (!SSL_is_init_finished(side->tls)) fail("there was no handshake");
  if (SSL_write(side->tls, message, sizeof message) != sizeof message) fail("a message was not written");
  send_output(side, 0);
}

/// close_notify and the FIN share a segment.
static void end_stream(struct side *side) {
  SSL_shutdown(side->tls);
  send_output(side, MSG_MORE);
  shutdown(side->descriptor, SHUT_WR);
}

/// Reads the other side's close_notify, which may have come together with what was before it.
static void close_at_end(struct side *side) {
  char nothing;
  for (int attempt = 0; !(SSL_get_shutdown(side->tls) & SSL_RECEIVED_SHUTDOWN); attempt++) {
    if (attempt > 0) receive_input(side);
    if (SSL_read(side->tls, &nothing, 1) > 0) fail("there was more than a message");
  }
  free_connection(side->tls);
  close(side->descriptor);
}

#define FOR_EACH(side) for (struct side *side = batch; side < batch + BATCH_COUNT; side++)

/// Whether all of them resumed a session.
static bool connect_batch(SSL_CTX *context, const struct settings *settings) {
  struct side batch[BATCH_COUNT];
  bool are_resumed = true;
  FOR_EACH(side) {
    *side = (struct side){connect_to(settings), make_connection(context, false)};
    SSL_do_handshake(side->tls);
    send_output(side, 0);
  }
  FOR_EACH(side) {
    receive_input(side);
    SSL_do_handshake(side->tls);
    // In the same segment as the end of the handshake.
    write_message(side);
    if (!SSL_session_reused(side->tls)) are_resumed = false;
  }
  FOR_EACH(side) read_message(side);
  FOR_EACH(side) {
    end_stream(side);
    close_at_end(side);
  }
  return are_resumed;
}

static void serve_batch(SSL_CTX *context, int listener, const struct settings *settings) {
  struct side batch[BATCH_COUNT];
  FOR_EACH(side) {
    *side = (struct side){accept4(listener, NULL, NULL, SOCK_CLOEXEC), make_connection(context, true)};
    if (side->descriptor < 0) fail("accept4");
    set_options(side->descriptor, settings);
    receive_input(side);
    SSL_do_handshake(side->tls);
    send_output(side, 0);
  }
  FOR_EACH(side) {
    read_message(side);
    // In the same segment as the ticket for another session.
    write_message(side);
  }
  FOR_EACH(side) end_stream(side);
  FOR_EACH(side) close_at_end(side);
}

/// A process that serves batches until it is killed.
static pid_t start_server(SSL_CTX *context, int listener, const struct settings *settings) {
  pid_t parent = getpid(), child = fork();
  if (child < 0) fail("fork");
  if (child > 0) return child;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl");
  if (getppid() != parent) _exit(1);
  for (;;) serve_batch(context, listener, settings);
}

/// Seconds of CPU that the two have had.
static double cpu_of_both(pid_t server) {
  clockid_t clock;
  if (clock_getcpuclockid(server, &clock) != 0) fail("clock_getcpuclockid");
  return now(CLOCK_PROCESS_CPUTIME_ID) + now(clock);
}

void run_handshakes(double seconds, const struct identity *client, const struct identity *server) {
  struct settings settings = {0};
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  int listener = listen_on(&settings);
  if (fcntl(listener, F_SETFL, 0) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0) fail("listener");
  settings.target_port = ntohs(address.sin_port);
  SSL_CTX *context = make_context(client);
  // Nobody is interrupted for the other one's sake, before he has to wait for him (sched(7)).
  if (sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) != 0) fail("sched_setscheduler");
  pid_t child = start_server(make_context(server), listener, &settings);
  // Without a server there is nobody to connect to, and the next attempt ends the process.
  close(listener);
  for (int index = 0; index < WARM_UP_COUNT; index++) connect_batch(context, &settings);
  double cpu = cpu_of_both(child), begun = now(CLOCK_MONOTONIC), end;
  unsigned count = 0;
  do {
    if (!connect_batch(context, &settings)) fail("a session was not resumed");
    count += BATCH_COUNT;
  } while ((end = now(CLOCK_MONOTONIC)) < begun + seconds);
  cpu = cpu_of_both(child) - cpu;
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  printf(
      "{\"unit\": \"connections\", \"count\": %u, \"seconds\": %.6f, \"cpuNanoseconds\": %.0f}\n", count, end - begun,
      cpu * 1e9);
}
