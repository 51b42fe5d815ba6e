// Sets the ring up, waits on it, and provides its buffers.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

// Newer than liburing 2.3's headers.
enum { PROVIDED_BUFFERS_INCREMENTAL = 2 };

/// struct io_uring_getevents_arg as of Linux 6.12, where the padding became the shortest wait.
struct wait_argument {
  uint64_t signal_mask;
  uint32_t signal_mask_bytes;
  uint32_t shortest_wait_microseconds;
  uint64_t timeout;
};

static void set_up_buffers(struct loop *loop) {
  size_t ring_bytes = BUFFER_COUNT * sizeof(struct io_uring_buf);
  loop->buffers = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  loop->memory = mmap(NULL, (size_t)BUFFER_COUNT * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct io_uring_buf_reg registration = {
      .ring_addr = (uint64_t)(uintptr_t)loop->buffers, .ring_entries = BUFFER_COUNT, .bgid = BUFFER_GROUP};
  // The word after the group was padding in liburing 2.3.
  if (loop->settings->incremental) {
    uint16_t flags = PROVIDED_BUFFERS_INCREMENTAL;
    memcpy((char *)&registration + offsetof(struct io_uring_buf_reg, bgid) + sizeof registration.bgid, &flags, sizeof flags);
  }
  errno = -io_uring_register_buf_ring(&loop->ring, &registration, 0);
  if (errno != 0) fail("io_uring_register_buf_ring");
  for (uint16_t buffer = 0; buffer < BUFFER_COUNT; buffer++) loop_recycle(loop, buffer);
}

void loop_set_up(struct loop *loop, const struct settings *settings) {
  loop->settings = settings;
  struct io_uring_params parameters = {
      .flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL,
      .cq_entries = 32768,
  };
  parameters.flags |= settings->cooperative ? IORING_SETUP_COOP_TASKRUN
                                            : IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  errno = -io_uring_queue_init_params(4096, &loop->ring, &parameters);
  if (errno != 0) fail("io_uring_queue_init_params");
  io_uring_register_ring_fd(&loop->ring);
  if (settings->fixed_files) {
    errno = -io_uring_register_files_sparse(&loop->ring, 2 * CONNECTIONS_MAX);
    if (errno != 0) fail("io_uring_register_files_sparse");
  }
  if (settings->receive != RECEIVE_OWN && settings->receive != RECEIVE_READY) set_up_buffers(loop);
}

struct io_uring_sqe *loop_entry(struct loop *loop) {
  struct io_uring_sqe *entry;
  while (!(entry = io_uring_get_sqe(&loop->ring))) io_uring_submit(&loop->ring);
  return entry;
}

void loop_recycle(struct loop *loop, uint16_t buffer) {
  int mask = BUFFER_COUNT - 1;
  uint16_t position = loop->tail++ & (uint16_t)mask;
  loop->position[buffer] = position;
  loop->identifier_at[position] = buffer;
  loop->used[buffer] = 0;
  loop->retired[buffer] = false;
  io_uring_buf_ring_add(loop->buffers, loop->memory + (size_t)buffer * BUFFER_BYTES, BUFFER_BYTES, buffer, mask, 0);
  io_uring_buf_ring_advance(loop->buffers, 1);
}

static uint64_t now_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/// Shows the kernel what was submitted, as liburing does within io_uring_submit.
static unsigned flush(struct io_uring *ring) {
  struct io_uring_sq *queue = &ring->sq;
  unsigned tail = *queue->ktail;
  for (; queue->sqe_head != queue->sqe_tail; queue->sqe_head++, tail++) {
    queue->array[tail & *queue->kring_mask] = queue->sqe_head & *queue->kring_mask;
  }
  io_uring_smp_store_release(queue->ktail, tail);
  return tail - *queue->khead;
}

static void gather(struct loop *loop) {
  struct __kernel_timespec timeout = {.tv_sec = 3600};
  struct wait_argument argument = {
      .shortest_wait_microseconds = loop->settings->gather_microseconds, .timeout = (uint64_t)(uintptr_t)&timeout};
  io_uring_enter2((unsigned)loop->ring.enter_ring_fd, flush(&loop->ring), loop->settings->gather_count,
                  IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_REGISTERED_RING, (sigset_t *)&argument,
                  sizeof argument);
}

void loop_wait(struct loop *loop) {
  const struct settings *settings = loop->settings;
  if (settings->spin_microseconds != 0) {
    uint64_t deadline = now_nanoseconds() + settings->spin_microseconds * 1000u;
    do {
      io_uring_submit_and_get_events(&loop->ring);
      if (io_uring_cq_ready(&loop->ring) != 0) return;
    } while (now_nanoseconds() < deadline);
  }
  if (settings->gather_count != 0) {
    gather(loop);
  } else if (settings->timed_wait) {
    struct io_uring_cqe *completion;
    struct __kernel_timespec timeout = {.tv_sec = 10};
    io_uring_submit_and_wait_timeout(&loop->ring, &completion, 1, &timeout, NULL);
  } else {
    io_uring_submit_and_wait(&loop->ring, 1);
  }
}
