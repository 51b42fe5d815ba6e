// Bulk on epoll and splice(2): per piece one splice from the socket into a pipe, and one from the pipe into the other
// socket.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

enum { PIPE_BYTES = 1 << 20 };

/// By descriptor of its source: one direction of a connection.
static struct direction {
  int source, sink;
  int pipe[2];
  /// Bytes in the pipe.
  size_t held;
  bool ended, is_passed_on;
} directions[2 * CONNECTIONS_MAX + 16];

static void set_up(int epoll, int source, int sink) {
  if (source >= 2 * CONNECTIONS_MAX + 16) fail("too many connections");
  struct direction *direction = &directions[source];
  *direction = (struct direction){.source = source, .sink = sink};
  if (pipe2(direction->pipe, O_NONBLOCK | O_CLOEXEC) != 0) fail("pipe2");
  fcntl(direction->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
  fcntl(source, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = source};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, source, &event) != 0) fail("epoll_ctl");
}

static void accept_all(int epoll, int listener, const struct settings *settings) {
  int downstream;
  while ((downstream = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    int upstream = connect_to(settings);
    set_options(downstream, settings);
    set_up(epoll, downstream, upstream);
    set_up(epoll, upstream, downstream);
  }
}

/// Moves bytes until the source has no more or the sink takes no more.
static void move(struct direction *direction) {
  for (;;) {
    ssize_t count = 0;
    if (direction->held == 0 && !direction->ended) {
      count = splice(direction->source, NULL, direction->pipe[1], NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (count > 0) direction->held += (size_t)count;
      else if (count == 0 || errno != EAGAIN) direction->ended = true;
      else return;
    }
    if (direction->held > 0) {
      count = splice(direction->pipe[0], NULL, direction->sink, NULL, direction->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (count > 0) direction->held -= (size_t)count;
      else if (errno == EAGAIN) return;
      else direction->held = 0;
    } else {
      if (!direction->is_passed_on) shutdown(direction->sink, SHUT_WR);
      direction->is_passed_on = true;
      return;
    }
  }
}

static void free_if_over(int descriptor) {
  struct direction *one = &directions[descriptor], *other = &directions[one->sink];
  if (!one->is_passed_on || !other->is_passed_on) return;
  for (int index = 0; index < 2; index++) {
    close(one->pipe[index]);
    close(other->pipe[index]);
  }
  close(one->source);
  close(other->source);
}

void run_splice(const struct settings *settings) {
  int listener = listen_on(settings);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");
  for (;;) {
    int count = epoll_wait(epoll, events, 512, -1);
    for (int index = 0; index < count; index++) {
      int descriptor = events[index].data.fd;
      if (descriptor == listener) {
        accept_all(epoll, listener, settings);
        continue;
      }
      struct direction *one = &directions[descriptor], *other = &directions[one->sink];
      // A pair that an earlier event of this batch has closed.
      if (one->is_passed_on && other->is_passed_on) continue;
      if (events[index].events & ~(unsigned)EPOLLOUT) move(one);
      if (events[index].events & EPOLLOUT && other->held > 0) move(other);
      free_if_over(descriptor);
    }
  }
}
