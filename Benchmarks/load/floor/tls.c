// One half of a pair with mutual TLS, on epoll and libssl: per piece one recv(2), one SSL_read(3) or SSL_write(3), and one
// send(2). It verifies its peer's chain, resumes sessions, and knows no identities.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "library.h"

enum {
  /// Pieces of one socket before it is the others' turn.
  PIECES_MAX = 4,
  ENDS_MAX = 2 * CONNECTIONS_MAX + 16,
};

/// By descriptor: one of the two sockets of a connection.
static struct end {
  int descriptor;
  /// Tells this use of the descriptor from earlier ones, of which events may be left.
  uint32_t serial;
  struct end *peer;
  /// None in the clear.
  SSL *tls;
  /// What the socket buffer didn't take. Nothing is received for this socket before that is sent.
  char *rest;
  size_t rest_count, rest_sent;
  /// It has been full, and events tell of room since.
  bool watches_room;
  /// There is something to receive, for which the peer's handshake has to be done first.
  bool is_waiting;
  /// It is in `more`.
  bool has_more;
  /// There is a hang-up behind what is left to receive; the stream has ended; so has the one to this socket.
  bool is_hung_up, has_ended, is_shut;
} ends[ENDS_MAX];

static int epoll;
static SSL_CTX *context;

/// Sockets with more to receive than their turn allowed; one that was closed meanwhile and is in use again may be there twice.
static struct {
  struct end *ends[2 * ENDS_MAX];
  size_t count;
} more;

static bool is_ready(const struct end *end) {
  return SSL_is_init_finished(end->tls);
}

static void watch(struct end *end, int operation, uint32_t events) {
  uint64_t mark = (uint64_t)end->serial << 32 | (uint32_t)end->descriptor;
  struct epoll_event event = {.events = events | EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = mark};
  if (epoll_ctl(epoll, operation, end->descriptor, &event) != 0) fail("epoll_ctl");
}

/// Sends what there is for the socket. What doesn't go is kept with it. `flags`: MSG_MORE where the FIN follows.
static void send_to(struct end *end, const char *bytes, size_t count, int flags) {
  if (count == 0) return;
  if (end->rest) fail("there is no order in what is to be sent");
  ssize_t sent = send(end->descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
  // A peer that is gone is noticed by its own receive.
  if (sent < 0) sent = errno == EAGAIN ? 0 : (ssize_t)count;
  if ((size_t)sent == count) return;
  end->rest_count = count - (size_t)sent;
  end->rest_sent = 0;
  end->rest = malloc(end->rest_count);
  if (!end->rest) fail("malloc");
  memcpy(end->rest, bytes + sent, end->rest_count);
  if (!end->watches_room) watch(end, EPOLL_CTL_MOD, EPOLLOUT);
  end->watches_room = true;
}

static void send_output(struct end *end, int flags) {
  send_to(end, output.bytes, output.count, flags);
  output.count = 0;
}

static void free_half(struct end *end) {
  if (end->tls) free_connection(end->tls);
  free(end->rest);
  close(end->descriptor);
  *end = (struct end){0};
}

static void free_both(struct end *end) {
  free_half(end->peer);
  free_half(end);
}

static void shut_if_due(struct end *end) {
  if (!end->peer->has_ended || end->is_shut || end->rest) return;
  if (end->tls && !(SSL_get_shutdown(end->tls) & SSL_SENT_SHUTDOWN)) {
    SSL_shutdown(end->tls);
    send_output(end, MSG_MORE);
    if (end->rest) return;
  }
  end->is_shut = true;
  shutdown(end->descriptor, SHUT_WR);
}

static void relay(struct end *from);

static void leave_for_later(struct end *end) {
  if (end->has_more) return;
  end->has_more = true;
  more.ends[more.count++] = end;
}

/// Takes what was received from a socket with TLS to the other one, and what the handshake has to say back.
static void decrypt(struct end *from) {
  static char plain[ROOM_BYTES];
  struct end *to = from->peer;
  size_t count = 0;
  int taken;
  do {
    taken = SSL_read(from->tls, plain + count, (int)(sizeof plain - count));
    if (taken > 0) count += (size_t)taken;
    else if (SSL_get_error(from->tls, taken) != SSL_ERROR_WANT_READ) from->has_ended = true;
  } while (taken > 0 && (input.consumed < input.count || SSL_has_pending(from->tls)));
  if (from->has_ended) {
    ERR_clear_error();
    input.consumed = input.count;
  }
  send_to(to, plain, count, 0);
  if (to->is_waiting && is_ready(from)) {
    // Goes into the same segment as the end of the handshake.
    to->is_waiting = false;
    relay(to);
  }
  if (from->peer) send_output(from, 0);
}

/// Receives until there is no more, no room for more, or it is the others' turn.
static void relay(struct end *from) {
  struct end *to = from->peer;
  if (!from->tls && !is_ready(to)) {
    from->is_waiting = true;
    return;
  }
  // Edge-triggered: a receive that isn't full leaves nothing but perhaps the end.
  bool has_all = false;
  for (int piece = 0; piece < PIECES_MAX && !has_all && !from->has_ended && !to->rest; piece++) {
    ssize_t count = recv(from->descriptor, input.bytes, sizeof input.bytes, MSG_DONTWAIT);
    has_all = count < (ssize_t)sizeof input.bytes && !from->is_hung_up;
    if (count > 0) {
      // All of it is libssl's to read, or none.
      input.count = (size_t)count;
      input.consumed = from->tls ? 0 : (size_t)count;
      if (from->tls) {
        decrypt(from);
      } else {
        SSL_write(to->tls, input.bytes, (int)count);
        send_output(to, 0);
      }
      if (!from->peer) return;
    } else if (count < 0 && errno == EAGAIN) {
      has_all = true;
    } else {
      from->has_ended = true;
    }
  }
  if (from->has_ended && from->tls && !is_ready(from)) {
    // There was no handshake; the other side has nothing to hear.
    free_both(from);
  } else if (from->has_ended) {
    shut_if_due(to);
    if (to->has_ended && !from->rest && !to->rest) free_both(from);
  } else if (!has_all && !to->rest) {
    leave_for_later(from);
  }
}

/// Sends what is left; whether that was all.
static bool send_rest(struct end *end) {
  ssize_t sent = send(
      end->descriptor, end->rest + end->rest_sent, end->rest_count - end->rest_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) sent = errno == EAGAIN ? 0 : (ssize_t)(end->rest_count - end->rest_sent);
  end->rest_sent += (size_t)sent;
  if (end->rest_sent < end->rest_count) return false;
  free(end->rest);
  end->rest = NULL;
  shut_if_due(end);
  return true;
}

static void handle(struct end *end, uint32_t events) {
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) end->is_hung_up = true;
  if (end->rest && send_rest(end)) relay(end->peer);
  if (end->peer) relay(end);
}

static struct end *set_up(int descriptor) {
  static uint32_t serial;
  if (descriptor >= ENDS_MAX) fail("too many connections");
  ends[descriptor] = (struct end){.descriptor = descriptor, .serial = ++serial};
  watch(&ends[descriptor], EPOLL_CTL_ADD, 0);
  return &ends[descriptor];
}

static void accept_all(int listener, const struct settings *settings) {
  bool terminates = settings->identity.terminates;
  int descriptor;
  while ((descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    set_options(descriptor, settings);
    // First, so that what has come already waits for the handshake when that is done.
    struct end *downstream = set_up(descriptor);
    struct end *upstream = set_up(connect_to(settings));
    upstream->peer = downstream;
    downstream->peer = upstream;
    (terminates ? downstream : upstream)->tls = make_connection(context, terminates);
    if (!terminates) {
      SSL_do_handshake(upstream->tls);
      send_output(upstream, 0);
    }
  }
}

void run_tls(const struct settings *settings) {
  static struct end *turn[2 * ENDS_MAX];
  context = make_context(&settings->identity);
  int listener = listen_on(settings);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event events[512], incoming = {.events = EPOLLIN, .data.u64 = 0};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &incoming) != 0) fail("epoll_ctl");
  for (;;) {
    int count = epoll_wait(epoll, events, 512, more.count > 0 ? 0 : -1);
    for (int index = 0; index < count; index++) {
      uint32_t descriptor = (uint32_t)events[index].data.u64, serial = (uint32_t)(events[index].data.u64 >> 32);
      if (serial == 0) {
        accept_all(listener, settings);
      } else if (ends[descriptor].serial == serial) {
        handle(&ends[descriptor], events[index].events);
      }
    }
    size_t left = more.count;
    memcpy(turn, more.ends, left * sizeof *turn);
    more.count = 0;
    for (size_t index = 0; index < left; index++) {
      turn[index]->has_more = false;
      if (turn[index]->peer) relay(turn[index]);
    }
  }
}
