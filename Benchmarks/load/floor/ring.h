// The ring of the floor's io_uring loop: set-up, waiting, provided buffers. `ring.c` relays with it.
#pragma once
// liburing.h sets _XOPEN_SOURCE when nothing else has.
#include <features.h>

#include <liburing.h>

#include "floor.h"

enum { BUFFER_GROUP = 1, BUFFER_COUNT = 64 };

/// A ring with a ring of provided buffers.
struct loop {
  const struct settings *settings;
  struct io_uring ring;
  struct io_uring_buf_ring *buffers;
  char *memory;
  /// By buffer: where in the buffer ring it lies, to find what follows it in a bundle; how far it is used up and how many
  /// sends from it are under way, where it is used up piece by piece.
  uint16_t position[BUFFER_COUNT], identifier_at[BUFFER_COUNT];
  uint32_t used[BUFFER_COUNT], sends[BUFFER_COUNT];
  bool retired[BUFFER_COUNT];
  uint16_t tail;
};

void loop_set_up(struct loop *loop, const struct settings *settings);
struct io_uring_sqe *loop_entry(struct loop *loop);
/// Submits everything and waits until there are completions.
void loop_wait(struct loop *loop);
void loop_recycle(struct loop *loop, uint16_t buffer);
