// Calls of Linux and glibc that Swift's Glibc module leaves out, because it is built without _GNU_SOURCE or doesn't
// include their header. Used by the process's life cycle.
#pragma once
#include <features.h>

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

extern char **environ;

/// environ(7), which Swift 6 refuses as a global variable that anybody may change. Nothing here changes it.
static inline char **sidecar_environment(void) { return environ; }

// memfd_create(2), glibc 2.27.
extern int memfd_create(const char *name, unsigned int flags);
#define SIDECAR_MFD_CLOEXEC 1u

extern int pthread_setname_np(pthread_t thread, const char *name);
extern const char *strerrorname_np(int error);

// dl_iterate_phdr(3) and madvise(2) as glibc declares them under _GNU_SOURCE and _DEFAULT_SOURCE.
extern int madvise(void *address, size_t length, int advice);
#define SIDECAR_MADV_DONTNEED 4
#ifndef __USE_GNU
struct dl_phdr_info {
  ElfW(Addr) dlpi_addr;
  const char *dlpi_name;
  const ElfW(Phdr) * dlpi_phdr;
  ElfW(Half) dlpi_phnum;
};
extern int dl_iterate_phdr(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context);
#endif

static inline int sidecar_release_segments(struct dl_phdr_info *object, size_t size, void *pageSize) {
  (void)size;
  const uintptr_t mask = *(const uintptr_t *)pageSize - 1;
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
    // A writable segment has relocations and variables in it, which exist nowhere else.
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
    const uintptr_t start = (object->dlpi_addr + segment->p_vaddr + mask) & ~mask;
    const uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~mask;
    if (end > start) madvise((void *)start, end - start, SIDECAR_MADV_DONTNEED);
  }
  return 0;
}

/// Unmaps the pages of code and constants of all loaded objects. They are clean copies of files in the page cache;
/// what is used again is mapped again without reading from disk.
static inline void sidecar_release_code_pages(void) {
  uintptr_t pageSize = (uintptr_t)sysconf(_SC_PAGESIZE);
  dl_iterate_phdr(sidecar_release_segments, &pageSize);
}

/// The signal that a signalfd(2) holds, or -errno.
static inline int sidecar_read_signal(int descriptor) {
  struct signalfd_siginfo information;
  if (read(descriptor, &information, sizeof information) != sizeof information) return -errno;
  return (int)information.ssi_signo;
}

/// A non-blocking, close-on-exec signalfd(2) for these signals, or -errno.
static inline int sidecar_signalfd(const sigset_t *signals) {
  int descriptor = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}
