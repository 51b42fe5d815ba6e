// Shows ThreadSanitizer what a contended Swift Mutex does. Linked into every program of `make tsan` and nothing else; see
// scripts/sanitized.
//
// On Linux a Mutex is a priority-inheriting futex(2). Taking a free one and giving back one that nobody waits for are
// atomic operations, inlined into instrumented code. As soon as two threads meet, the slow halves in libswiftSynchronization
// leave both to the kernel, and the sanitizer, which sees neither, takes what the mutex protects for a race.

#include <stdbool.h>
#include <stdint.h>

// Of the sanitizer's runtime: what happened before a release is seen by whoever acquires after it.
void __tsan_acquire(void *address);
void __tsan_release(void *address);

// Methods of Synchronization._MutexHandle, by their mangled names. The linker, told to --wrap one, lets calls of NAME reach
// __wrap_NAME, and __real_NAME the original.
#define METHOD(prefix, name) __asm__(prefix "$s15Synchronization12_MutexHandleV" name)
#define SWIFT_CALL __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *mutex

SWIFT_CALL void real_lock(uint32_t thread, SELF) METHOD("__real_", "9_lockSlowyys6UInt32VF");
SWIFT_CALL void wrapped_lock(uint32_t thread, SELF) METHOD("__wrap_", "9_lockSlowyys6UInt32VF");
SWIFT_CALL bool real_try_lock(SELF) METHOD("__real_", "12_tryLockSlowSbyF");
SWIFT_CALL bool wrapped_try_lock(SELF) METHOD("__wrap_", "12_tryLockSlowSbyF");
SWIFT_CALL void real_unlock(SELF) METHOD("__real_", "11_unlockSlowyyF");
SWIFT_CALL void wrapped_unlock(SELF) METHOD("__wrap_", "11_unlockSlowyyF");

SWIFT_CALL void wrapped_lock(uint32_t thread, SELF) {
  real_lock(thread, mutex);
  __tsan_acquire(mutex);
}

SWIFT_CALL bool wrapped_try_lock(SELF) {
  bool is_locked = real_try_lock(mutex);
  if (is_locked) __tsan_acquire(mutex);
  return is_locked;
}

SWIFT_CALL void wrapped_unlock(SELF) {
  __tsan_release(mutex);
  real_unlock(mutex);
}
