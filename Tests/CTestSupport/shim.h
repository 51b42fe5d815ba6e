// Calls of Linux and glibc that Swift's Glibc module leaves out, because it is built without _GNU_SOURCE. Used by the
// black-box tests' harness. No header that the Glibc module has is included here: its declarations would move into this
// module and be missing from the other.
#pragma once

/// accept4(2), without asking for the peer's address.
extern int accept4(int socket, void *address, unsigned int *length, int flags);

/// posix_spawn_file_actions_addclosefrom_np(3), glibc 2.34.
extern int posix_spawn_file_actions_addclosefrom_np(void *actions, int from);

/// ptrace(2).
static inline long testsupport_ptrace(int request, int thread, unsigned long address, unsigned long data) {
  extern long ptrace(int request, ...);
  return ptrace(request, thread, address, data);
}

/// setns(2).
extern int setns(int descriptor, int kind);

struct testsupport_rlimit64 {
  unsigned long long soft, hard;
};

/// prlimit(2).
extern int prlimit64(
    int process, int resource, const struct testsupport_rlimit64 *limit, struct testsupport_rlimit64 *old);
