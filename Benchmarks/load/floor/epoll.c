// Messages on epoll: per message one recv(2) and one send(2), and one epoll_wait(2) for all that are ready.
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

/// By descriptor: the other socket of the connection, and whether this one's stream has ended.
static struct {
  int peer;
  bool ended;
} sockets[2 * CONNECTIONS_MAX + 16];

static void watch(int epoll, int descriptor, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = descriptor};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
}

static void accept_all(int epoll, int listener, const struct settings *settings) {
  int downstream;
  while ((downstream = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
    int upstream = connect_to(settings);
    set_options(downstream, settings);
    if (upstream >= 2 * CONNECTIONS_MAX + 16) fail("too many connections");
    sockets[downstream].peer = upstream;
    sockets[upstream].peer = downstream;
    sockets[downstream].ended = sockets[upstream].ended = false;
    watch(epoll, upstream, EPOLLIN | EPOLLRDHUP | EPOLLET);
    watch(epoll, downstream, EPOLLIN | EPOLLRDHUP | EPOLLET);
  }
}

static void end(int descriptor) {
  int peer = sockets[descriptor].peer;
  if (sockets[descriptor].ended) return;
  sockets[descriptor].ended = true;
  if (!sockets[peer].ended) {
    shutdown(peer, SHUT_WR);
    return;
  }
  close(descriptor);
  close(peer);
}

static void relay(int descriptor) {
  static char buffer[BUFFER_BYTES];
  // Edge-triggered: what a receive leaves behind has to be fetched, and a receive that isn't full leaves nothing.
  ssize_t count;
  do {
    count = recv(descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count > 0) send_whole(sockets[descriptor].peer, buffer, (size_t)count);
  } while (count == sizeof buffer);
  if (count == 0 || (count < 0 && errno != EAGAIN)) end(descriptor);
}

void run_epoll(const struct settings *settings) {
  int listener = listen_on(settings);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event events[512];
  watch(epoll, listener, EPOLLIN);
  for (;;) {
    int count = epoll_wait(epoll, events, 512, -1);
    for (int index = 0; index < count; index++) {
      int descriptor = events[index].data.fd;
      if (descriptor == listener) {
        accept_all(epoll, listener, settings);
      } else {
        relay(descriptor);
        // Data and the end in one edge: the receive above stopped at the data.
        if (events[index].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) relay(descriptor);
      }
    }
  }
}
