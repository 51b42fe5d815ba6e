// Bulk on epoll and splice(2): per event one splice from the socket into a pipe, and one from the pipe into the other
// socket. Level-triggered, so that nothing is tried in vain: what an event leaves behind brings the next one.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

/// The most that an unprivileged process may have (fs.pipe-max-size). Smaller ones are as dear or dearer
/// (docs/performance.md).
enum { PIPE_BYTES = 1 << 20 };

/// By descriptor of its source: one direction of a connection.
static struct direction {
  int source, sink;
  int pipe[2];
  /// Bytes in the pipe, for which the sink has no room. Nothing is received before they are gone.
  size_t held;
  bool ended, is_passed_on;
  /// What epoll tells of the source.
  uint32_t watched;
} directions[2 * CONNECTIONS_MAX + 16];

static int epoll;

/// Watches a socket for what its directions wait for: to receive, or for room. Asks epoll only where that changes.
static void watch(struct direction *from, int operation) {
  const struct direction *to = &directions[from->sink];
  uint32_t wanted = from->ended || from->held > 0 ? 0 : EPOLLIN;
  if (to->held > 0) wanted |= EPOLLOUT;
  if (operation == EPOLL_CTL_MOD && wanted == from->watched) return;
  from->watched = wanted;
  struct epoll_event event = {.events = wanted, .data.fd = from->source};
  if (epoll_ctl(epoll, operation, from->source, &event) != 0) fail("epoll_ctl");
}

static void set_up(int source, int sink) {
  struct direction *direction = &directions[source];
  *direction = (struct direction){.source = source, .sink = sink};
  if (pipe2(direction->pipe, O_NONBLOCK | O_CLOEXEC) != 0) fail("pipe2");
  fcntl(direction->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
  fcntl(source, F_SETFL, O_NONBLOCK);
}

static void accept_all(int listener, const struct settings *settings) {
  int downstream;
  while ((downstream = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    int upstream = connect_to(settings);
    if (upstream >= 2 * CONNECTIONS_MAX + 16) fail("too many connections");
    set_options(downstream, settings);
    set_up(downstream, upstream);
    set_up(upstream, downstream);
    watch(&directions[downstream], EPOLL_CTL_ADD);
    watch(&directions[upstream], EPOLL_CTL_ADD);
  }
}

/// Moves what the source has and the sink takes.
static void move(struct direction *direction) {
  ssize_t count;
  if (direction->held == 0 && !direction->ended) {
    count = splice(direction->source, NULL, direction->pipe[1], NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (count > 0) direction->held = (size_t)count;
    else direction->ended = count == 0 || errno != EAGAIN;
  }
  if (direction->held > 0) {
    count = splice(direction->pipe[0], NULL, direction->sink, NULL, direction->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (count > 0) direction->held -= (size_t)count;
    else if (errno != EAGAIN) direction->held = 0;
  }
  if (direction->ended && direction->held == 0 && !direction->is_passed_on) {
    shutdown(direction->sink, SHUT_WR);
    direction->is_passed_on = true;
  }
}

static void free_both(struct direction *one, struct direction *other) {
  for (int index = 0; index < 2; index++) {
    close(one->pipe[index]);
    close(other->pipe[index]);
  }
  close(one->source);
  close(other->source);
}

static void handle(struct direction *from, uint32_t events) {
  struct direction *to = &directions[from->sink];
  // A pair that an earlier event of this batch has closed.
  if (from->is_passed_on && to->is_passed_on) return;
  if (to->held > 0 && events & ~(uint32_t)EPOLLIN) move(to);
  if (events & ~(uint32_t)EPOLLOUT) move(from);
  if (from->is_passed_on && to->is_passed_on) {
    free_both(from, to);
  } else {
    watch(from, EPOLL_CTL_MOD);
    watch(to, EPOLL_CTL_MOD);
  }
}

void run_splice(const struct settings *settings) {
  int listener = listen_on(settings);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");
  for (;;) {
    int count = epoll_wait(epoll, events, 512, -1);
    for (int index = 0; index < count; index++) {
      int descriptor = events[index].data.fd;
      if (descriptor == listener) accept_all(listener, settings);
      else handle(&directions[descriptor], events[index].events);
    }
  }
}
