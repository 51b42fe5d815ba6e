// The hooks. The allocator's go to glibc's own entry points, since dlsym itself allocates; those of the Swift runtime
// are looked up on first use. Counters are thread-local: a test counts its own work, whatever runs beside it.
#define _GNU_SOURCE
#include "AllocationCounter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED

bool allocation_counter_is_active(void) { return false; }
allocation_counts allocation_counter_read(void) { return (allocation_counts){0}; }

#else

// The static TLS model: the dynamic one allocates on a thread's first access, and would recurse.
static __thread allocation_counts counts __attribute__((tls_model("initial-exec")));

bool allocation_counter_is_active(void) { return true; }
allocation_counts allocation_counter_read(void) { return counts; }

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

void *malloc(size_t size) {
  counts.allocations++;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  counts.allocations++;
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  counts.allocations++;
  return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
  counts.allocations++;
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
  void *result = memalign(alignment, size);
  if (!result) return ENOMEM;
  *memory = result;
  return 0;
}

void free(void *memory) {
  if (memory) counts.deallocations++;
  __libc_free(memory);
}

// Found on first use: the runtime may be called before any constructor of ours has run.
#define HOOK(name, counter)                                                     \
  typedef void *(*name##_function)(void *);                                     \
  static name##_function name##_original;                                       \
  void *name(void *object) {                                                    \
    counts.counter++;                                                           \
    if (!name##_original) {                                                     \
      name##_original = (name##_function)dlsym(RTLD_NEXT, #name);               \
    }                                                                           \
    return name##_original(object);                                             \
  }
#define HOOK_N(name, counter)                                                   \
  typedef void *(*name##_function)(void *, uint32_t);                           \
  static name##_function name##_original;                                       \
  void *name(void *object, uint32_t times) {                                    \
    counts.counter += times;                                                    \
    if (!name##_original) {                                                     \
      name##_original = (name##_function)dlsym(RTLD_NEXT, #name);               \
    }                                                                           \
    return name##_original(object, times);                                      \
  }

HOOK(swift_retain, retains)
HOOK(swift_release, releases)
HOOK(swift_bridgeObjectRetain, retains)
HOOK(swift_bridgeObjectRelease, releases)
HOOK_N(swift_retain_n, retains)
HOOK_N(swift_release_n, releases)

#endif
