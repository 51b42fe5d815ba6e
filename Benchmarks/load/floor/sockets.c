// Sockets on loopback, and the one way in which the floor fails.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

_Noreturn void fail(const char *what) {
  fprintf(stderr, "relay-floor: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static struct sockaddr_in loopback(uint16_t port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int listen_on(const struct settings *settings) {
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = loopback(settings->listen_port);
  int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (settings->workers > 1) setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 || listen(descriptor, 4096) != 0) {
    fail("listen");
  }
  return descriptor;
}

int connect_to(const struct settings *settings) {
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = loopback(settings->target_port);
  if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  set_options(descriptor, settings);
  return descriptor;
}

void set_options(int descriptor, const struct settings *settings) {
  int yes = 1, bytes = 1 << 18;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (settings->reno) setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
  if (settings->sized) {
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
}

void send_whole(int descriptor, const void *bytes, size_t count) {
  ssize_t sent = send(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  // A peer that is gone is noticed by its own receive.
  if (sent >= 0 ? (size_t)sent != count : errno == EAGAIN) fail("a socket buffer did not take a message");
}
