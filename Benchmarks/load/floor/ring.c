// Messages on io_uring: per message one receive and one send, all of a turn in one system call.
#include "ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/// A socket and its place in the table; its peer's is `index ^ 1`, and also the number of its fixed file.
struct end_point {
  int descriptor;
  bool ended;
  /// Submissions that have not completed.
  unsigned in_flight;
  char *own_buffer;
};

enum operation { ACCEPT, RECEIVE, SEND, READY };

static struct end_point ends[2 * CONNECTIONS_MAX];
static int free_pairs[CONNECTIONS_MAX], free_count;

static uint64_t token(enum operation operation, int index, uint16_t buffer) {
  return (uint64_t)buffer << 32 | (uint64_t)index << 2 | operation;
}

// Newer than liburing 2.3's headers.
#define FLOOR_RECVSEND_BUNDLE (1u << 4)
#define FLOOR_CQE_F_BUF_MORE (1u << 4)

/// The entry's socket: a fixed file, or the descriptor.
static void target(struct loop *loop, struct io_uring_sqe *entry, int index) {
  if (!loop->settings->fixed_files) return;
  entry->fd = index;
  entry->flags |= IOSQE_FIXED_FILE;
}

static void receive(struct loop *loop, int index, bool expects_data) {
  const struct settings *settings = loop->settings;
  struct io_uring_sqe *entry = loop_entry(loop);
  int descriptor = ends[index].descriptor;
  ends[index].in_flight++;
  switch (settings->receive) {
    case RECEIVE_MULTISHOT:
      io_uring_prep_recv_multishot(entry, descriptor, NULL, 0, 0);
      break;
    case RECEIVE_ONESHOT:
      io_uring_prep_recv(entry, descriptor, NULL, BUFFER_BYTES, 0);
      break;
    case RECEIVE_OWN:
      io_uring_prep_recv(entry, descriptor, ends[index].own_buffer, BUFFER_BYTES, 0);
      break;
    case RECEIVE_READY:
      io_uring_prep_poll_multishot(entry, descriptor, POLLIN | POLLRDHUP | EPOLLET);
      entry->user_data = token(READY, index, 0);
      target(loop, entry, index);
      return;
  }
  if (settings->receive != RECEIVE_OWN) {
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = BUFFER_GROUP;
  }
  if (settings->bundle) {
    entry->ioprio |= FLOOR_RECVSEND_BUNDLE;
    entry->len = 0;
  }
  if (!settings->try_first && !expects_data) entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
  entry->user_data = token(RECEIVE, index, 0);
  target(loop, entry, index);
}

static void send_message(struct loop *loop, int from, const void *bytes, size_t count, uint16_t buffer) {
  const struct settings *settings = loop->settings;
  int to = from ^ 1;
  if (settings->send_directly) {
    send_whole(ends[to].descriptor, bytes, count);
    return;
  }
  struct io_uring_sqe *entry = loop_entry(loop);
  // An immediate send is over when the system call that submits it returns, so that sends of one socket stay in order.
  io_uring_prep_send(entry, ends[to].descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  entry->user_data = token(SEND, to, buffer);
  target(loop, entry, to);
  if (settings->link) entry->flags |= IOSQE_IO_LINK;
  if (settings->silent_sends) entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  else ends[to].in_flight++;
}

// MARK: Life of a connection

static void accepted(struct loop *loop, int downstream) {
  if (downstream < 0 || free_count == 0) fail("accept");
  int index = 2 * free_pairs[--free_count];
  set_options(downstream, loop->settings);
  ends[index].descriptor = downstream;
  ends[index + 1].descriptor = connect_to(loop->settings);
  for (int each = index; each < index + 2; each++) {
    ends[each].ended = false;
    ends[each].in_flight = 0;
    if (loop->settings->receive == RECEIVE_OWN && !ends[each].own_buffer) ends[each].own_buffer = malloc(BUFFER_BYTES);
    if (loop->settings->fixed_files) {
      io_uring_register_files_update(&loop->ring, (unsigned)each, &ends[each].descriptor, 1);
    }
    receive(loop, each, each == index);
  }
}

/// Frees the pair once both streams have ended and nothing is in flight.
static void free_if_over(struct loop *loop, int index) {
  struct end_point *one = &ends[index], *other = &ends[index ^ 1];
  if (!one->ended || !other->ended || one->in_flight + other->in_flight != 0) return;
  int none[2] = {-1, -1};
  if (loop->settings->fixed_files) io_uring_register_files_update(&loop->ring, (unsigned)(index & ~1), none, 2);
  close(one->descriptor);
  close(other->descriptor);
  free_pairs[free_count++] = index / 2;
}

static void stream_ended(struct loop *loop, int index) {
  if (ends[index].ended) return;
  // What was received before the end may be waiting for the next system call.
  if (io_uring_sq_ready(&loop->ring) != 0) io_uring_submit(&loop->ring);
  ends[index].ended = true;
  shutdown(ends[index ^ 1].descriptor, SHUT_WR);
}

// MARK: Completions

/// Passes on what lies in provided buffers.
static void pass_on(struct loop *loop, int index, const struct io_uring_cqe *completion) {
  uint16_t buffer = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
  unsigned left = (unsigned)completion->res;
  bool stays = completion->flags & FLOOR_CQE_F_BUF_MORE;
  while (left > 0) {
    unsigned room = BUFFER_BYTES - loop->used[buffer];
    unsigned count = left < room ? left : room;
    uint16_t next = loop->identifier_at[(loop->position[buffer] + 1) & (BUFFER_COUNT - 1)];
    send_message(loop, index, loop->memory + (size_t)buffer * BUFFER_BYTES + loop->used[buffer], count, buffer);
    left -= count;
    loop->used[buffer] += count;
    loop->retired[buffer] = left > 0 || !stays;
    bool is_over = loop->settings->send_directly || loop->settings->silent_sends;
    if (!is_over) loop->sends[buffer]++;
    // A silent send reads its bytes in the next system call, and the kernel fills a buffer that comes back at the tail
    // of the ring only after those before it.
    else if (loop->retired[buffer]) loop_recycle(loop, buffer);
    buffer = next;
  }
}

static void received(struct loop *loop, int index, const struct io_uring_cqe *completion) {
  const struct settings *settings = loop->settings;
  bool goes_on = completion->flags & IORING_CQE_F_MORE;
  if (!goes_on) ends[index].in_flight--;
  if (completion->res > 0) {
    if (settings->receive == RECEIVE_OWN) {
      send_message(loop, index, ends[index].own_buffer, (size_t)completion->res, 0);
    } else {
      pass_on(loop, index, completion);
    }
  }
  if (completion->res > 0 || completion->res == -ENOBUFS) {
    bool expects_data = completion->flags & IORING_CQE_F_SOCK_NONEMPTY || completion->res == -ENOBUFS;
    // The own buffer is free once the send is over: an immediate send runs before a receive that is submitted behind it.
    if (!goes_on) receive(loop, index, expects_data);
  } else {
    stream_ended(loop, index);
    free_if_over(loop, index);
  }
}

static void sent(struct loop *loop, int index, uint16_t buffer, int result) {
  if (result == -EAGAIN) fail("a socket buffer did not take a message");
  if (!loop->settings->silent_sends) ends[index].in_flight--;
  if (loop->settings->receive != RECEIVE_OWN && !loop->settings->silent_sends) {
    if (--loop->sends[buffer] == 0 && loop->retired[buffer]) loop_recycle(loop, buffer);
  }
  free_if_over(loop, index);
}

/// With readiness only: receives and sends with system calls of their own.
static void ready(struct loop *loop, int index, const struct io_uring_cqe *completion) {
  static char buffer[BUFFER_BYTES];
  bool goes_on = completion->flags & IORING_CQE_F_MORE;
  if (!goes_on) ends[index].in_flight--;
  if (!ends[index].ended) {
    ssize_t count;
    do {
      count = recv(ends[index].descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
      if (count > 0) send_whole(ends[index ^ 1].descriptor, buffer, (size_t)count);
    } while (count == sizeof buffer || (count > 0 && completion->res & (POLLRDHUP | POLLHUP | POLLERR)));
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
      stream_ended(loop, index);
      if (goes_on) {
        struct io_uring_sqe *entry = loop_entry(loop);
        io_uring_prep_poll_remove(entry, token(READY, index, 0));
        entry->user_data = token(SEND, index, 0);
        ends[index].in_flight++;
      }
    } else if (!goes_on) {
      receive(loop, index, false);
    }
  }
  free_if_over(loop, index);
}

void run_ring(const struct settings *settings) {
  static struct loop loop;
  loop_set_up(&loop, settings);
  for (int pair = CONNECTIONS_MAX - 1; pair >= 0; pair--) free_pairs[free_count++] = pair;
  int listener = listen_on(settings);
  struct io_uring_sqe *entry = loop_entry(&loop);
  io_uring_prep_multishot_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
  entry->user_data = token(ACCEPT, 0, 0);
  for (;;) {
    loop_wait(&loop);
    struct io_uring_cqe *completion;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&loop.ring, head, completion) {
      count++;
      int index = (int)((uint32_t)completion->user_data >> 2);
      switch ((enum operation)(completion->user_data & 3)) {
        case ACCEPT: accepted(&loop, completion->res); break;
        case RECEIVE: received(&loop, index, completion); break;
        case SEND: sent(&loop, index, (uint16_t)(completion->user_data >> 32), completion->res); break;
        case READY: ready(&loop, index, completion); break;
      }
    }
    io_uring_cq_advance(&loop.ring, count);
  }
}
