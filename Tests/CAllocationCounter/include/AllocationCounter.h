// Counts the heap allocations and the reference counting of one thread, for tests that hold a hot path to none.
//
// Linking this target into a test bundle puts its malloc and swift_retain in front of the C library's and the Swift
// runtime's. Under a sanitizer, which brings its own, it counts nothing: ask allocation_counter_is_active first.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  /// malloc, calloc, realloc, aligned_alloc, memalign and posix_memalign.
  uint64_t allocations;
  uint64_t deallocations;
  /// swift_retain, swift_bridgeObjectRetain and swift_retain_n.
  uint64_t retains;
  /// swift_release, swift_bridgeObjectRelease and swift_release_n.
  uint64_t releases;
} allocation_counts;

/// Whether the hooks are compiled in.
bool allocation_counter_is_active(void);

/// The calling thread's counts since it started.
allocation_counts allocation_counter_read(void);
