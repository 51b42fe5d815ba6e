// What a process needs to give up rights: seccomp(2), landlock(7), capset(2), prctl(2). glibc wraps none of the first
// three, and Debian 12's landlock.h is that of Linux 6.1.
#pragma once
#include <features.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern long syscall(long number, ...);

/// prctl(2) with one argument: the result, or -errno.
static inline int sidecar_prctl(int option, unsigned long argument) {
  int result = prctl(option, argument, 0, 0, 0);
  return result < 0 ? -errno : result;
}

// MARK: seccomp

// The architecture that the kernel names in each call, see seccomp(2). Swift imports no macro that is an expression.
#if defined(__x86_64__)
enum { SIDECAR_AUDIT_ARCHITECTURE = (int)AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { SIDECAR_AUDIT_ARCHITECTURE = (int)AUDIT_ARCH_AARCH64 };
#endif

/// Puts a filter on all threads of the process. 0, the id of a thread that can't take it, or -errno.
/// `log`: the kernel's audit log gets a record of each call that the filter refuses.
static inline int sidecar_filter_system_calls(const struct sock_filter *instructions, unsigned short count, bool log) {
  struct sock_fprog program = {count, (struct sock_filter *)instructions};
  // Before Linux 5.16 a filter would slow down all speculation of the process, as for code that is foreign to it.
  unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW | (log ? SECCOMP_FILTER_FLAG_LOG : 0);
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  return result < 0 ? -errno : (int)result;
}

/// Whether the kernel has filters: 0, or -errno.
static inline int sidecar_check_filters(void) {
  unsigned action = SECCOMP_RET_ERRNO;
  return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

// MARK: capabilities

/// What the calling thread may use: its permitted capabilities, a bit each, or all bits where it can't be asked.
static inline uint64_t sidecar_permitted_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}};
  if (syscall(SYS_capget, &header, data) < 0) return ~0ull;
  return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

/// Leaves the calling thread, and those that it starts, no capability beyond these. 0 or -errno.
static inline int sidecar_keep_capabilities(uint64_t kept) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  uint32_t low = (uint32_t)kept, high = (uint32_t)(kept >> 32);
  struct __user_cap_data_struct data[2] = {{low, low, 0}, {high, high, 0}};
  return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

// MARK: Landlock, linux/landlock.h of Linux 6.12

struct sidecar_landlock_ruleset {
  uint64_t files, network, scopes;
};

struct sidecar_landlock_path {
  uint64_t allowed;
  int32_t directory;
} __attribute__((packed));

enum {
  SIDECAR_LANDLOCK_WRITE_FILE = 1 << 1,
  SIDECAR_LANDLOCK_READ_FILE = 1 << 2,
  SIDECAR_LANDLOCK_READ_DIRECTORY = 1 << 3,
  SIDECAR_LANDLOCK_REMOVE_FILE = 1 << 5,
  SIDECAR_LANDLOCK_MAKE_FILE = 1 << 8,
  SIDECAR_LANDLOCK_TRUNCATE = 1 << 14,
  SIDECAR_LANDLOCK_SCOPE_ABSTRACT_SOCKETS = 1 << 0,
  SIDECAR_LANDLOCK_SCOPE_SIGNALS = 1 << 1,
};

/// The version of Landlock that the kernel has, or -errno.
static inline int sidecar_landlock_version(void) {
  long version = syscall(SYS_landlock_create_ruleset, 0, 0, 1u /* LANDLOCK_CREATE_RULESET_VERSION */);
  return version < 0 ? -errno : (int)version;
}

/// A new set of rules, as a descriptor, or -errno.
static inline int sidecar_landlock_create(const struct sidecar_landlock_ruleset *ruleset, size_t size) {
  long rules = syscall(SYS_landlock_create_ruleset, ruleset, size, 0u);
  return rules < 0 ? -errno : (int)rules;
}

/// Allows accesses below a path; a path that isn't there is left out. 0 or -errno.
static inline int sidecar_landlock_allow(int rules, const char *path, uint64_t accesses) {
  int descriptor = open(path, 010000000 /* O_PATH */ | O_CLOEXEC);
  if (descriptor < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
  struct sidecar_landlock_path rule = {accesses, descriptor};
  long result = syscall(SYS_landlock_add_rule, rules, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0u);
  int error = result < 0 ? -errno : 0;
  close(descriptor);
  return error;
}

/// Binds the calling thread, and those that it starts, to the rules. 0 or -errno.
static inline int sidecar_landlock_enter(int rules) {
  return syscall(SYS_landlock_restrict_self, rules, 0u) < 0 ? -errno : 0;
}
