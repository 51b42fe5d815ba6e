// What Swift needs of liburing and the kernel beyond liburing 2.3's headers (Debian 12): the constants of newer
// kernels, and the system calls that glibc hides behind feature macros or that are variadic.
#pragma once
// liburing.h sets _XOPEN_SOURCE when nothing else has; with features.h first, fd_set has one definition everywhere.
#include <features.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h, whose
// own includes clash with netinet/in.h.
#define SIDECAR_SO_ORIGINAL_DST 80

// fcntl.h and unistd.h show these only under _GNU_SOURCE, which the Glibc module is built without.
#define SIDECAR_F_SETPIPE_SZ 1031
#define SIDECAR_F_GETPIPE_SZ 1032
#define SIDECAR_SPLICE_F_MOVE 1
#define SIDECAR_SPLICE_F_NONBLOCK 2
#define SIDECAR_POLLRDHUP 0x2000
extern int pipe2(int ends[2], int flags);
extern int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);
extern ssize_t splice(int from, off_t *from_offset, int to, off_t *to_offset, size_t count, unsigned flags);

// Swift does not import macros that shift an enumerator.
#define SIDECAR_SQE_CQE_SKIP_SUCCESS 0x40
_Static_assert(SIDECAR_SQE_CQE_SKIP_SUCCESS == IOSQE_CQE_SKIP_SUCCESS, "see linux/io_uring.h");

/// pipe2(2) with both descriptors in the result: read end in the low half, write end in the high half, or -errno.
static inline int64_t sidecar_pipe(void) {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -errno;
  return ((int64_t)ends[1] << 32) | (uint32_t)ends[0];
}

/// accept4(2), non-blocking and close-on-exec, without the address. A descriptor, or -1 with errno.
static inline int sidecar_accept(int listener) { return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC); }

/// fcntl(2) F_SETPIPE_SZ: the capacity in bytes that the pipe got, or -errno.
static inline int sidecar_set_pipe_size(int pipe, int bytes) {
  int got = fcntl(pipe, SIDECAR_F_SETPIPE_SZ, bytes);
  return got < 0 ? -errno : got;
}

/// fcntl(2) F_GETPIPE_SZ: the capacity in bytes, or -errno.
static inline int sidecar_pipe_size(int pipe) {
  int got = fcntl(pipe, SIDECAR_F_GETPIPE_SZ);
  return got < 0 ? -errno : got;
}

/// splice(2) without offsets; never blocks when both ends are O_NONBLOCK. Bytes moved, 0 at end of input, or -errno.
static inline ssize_t sidecar_splice(int from, int to, size_t count) {
  ssize_t moved = splice(from, 0, to, 0, count, SIDECAR_SPLICE_F_MOVE | SIDECAR_SPLICE_F_NONBLOCK);
  return moved < 0 ? -errno : moved;
}

/// Whether a receive would find bytes now; false for what is no socket.
static inline bool sidecar_has_bytes(int socket) {
  char byte;
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/// Bytes that a TCP peer has acknowledged, as long as others are on their way to it; -1 where none are, or nobody can tell.
/// TCP_INFO, tcp(7). The C library's tcp_info ends before the counters: this one goes by include/uapi/linux/tcp.h.
static inline int64_t sidecar_delivered_bytes(int socket) {
  struct {
    uint8_t states[8];
    uint32_t timings[4];
    uint32_t unacked_segments;
    uint32_t more[19];
    uint64_t rates[2];
    uint64_t acknowledged_bytes;
    uint64_t received_bytes;
    uint32_t segments[2];
    uint32_t unsent_bytes;
  } info;
  socklen_t size = sizeof info;
  memset(&info, 0, sizeof info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) return -1;
  return info.unacked_segments || info.unsent_bytes ? (int64_t)info.acknowledged_bytes : -1;
}

/// CLOCK_MONOTONIC in nanoseconds, through the vDSO.
static inline uint64_t sidecar_monotonic_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/// io_uring_enable_rings(3), which liburing 2.3's shared library does not export. 0 or -errno.
static inline int sidecar_enable_ring(struct io_uring *ring) {
  return io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, 0, 0);
}

/// io_uring_register_restrictions(3), which it doesn't either. 0 or -errno.
static inline int sidecar_restrict_ring(struct io_uring *ring, struct io_uring_restriction *restrictions,
                                        unsigned count) {
  return io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, restrictions, count);
}

/// io_uring_cq_advance and friends are macros over C11 atomics; these two are all that the completion loop needs.
static inline unsigned sidecar_cq_tail(const struct io_uring *ring) {
  return io_uring_smp_load_acquire(ring->cq.ktail);
}
static inline unsigned sidecar_cq_head(const struct io_uring *ring) { return *ring->cq.khead; }
static inline void sidecar_cq_set_head(struct io_uring *ring, unsigned head) {
  io_uring_smp_store_release(ring->cq.khead, head);
}
static inline const struct io_uring_cqe *sidecar_cqe(const struct io_uring *ring, unsigned index) {
  return &ring->cq.cqes[index & ring->cq.ring_mask];
}

/// epoll_ctl(2) with EPOLL_CTL_ADD or EPOLL_CTL_MOD; `data` comes back with each event. 0 or -errno.
static inline int sidecar_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  return epoll_ctl(epoll, operation, descriptor, &event) == 0 ? 0 : -errno;
}

/// The readiness of one descriptor right now, without waiting: poll(2) events, 0 for none, or -errno.
static inline int sidecar_poll_now(int descriptor, short events) {
  struct pollfd query = {.fd = descriptor, .events = events};
  int ready = poll(&query, 1, 0);
  if (ready < 0) return -errno;
  return query.revents & POLLNVAL ? -EBADF : query.revents;
}
