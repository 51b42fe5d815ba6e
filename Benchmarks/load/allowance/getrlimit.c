// Loaded into the sidecar of the growth rows (LD_PRELOAD): tells it that it may open twice as many files as it may. The
// sidecar sets four descriptors aside per connection, two sockets and the two ends of a pipe for bulk. Messages need no
// pipe, so that connections can grow until their sockets alone use up what the process may really open.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int getrlimit(__rlimit_resource_t resource, struct rlimit *limits) {
  int result = (int)syscall(SYS_prlimit64, 0, resource, NULL, limits);
  if (result == 0 && resource == RLIMIT_NOFILE) {
    limits->rlim_cur *= 2;
    limits->rlim_max *= 2;
  }
  return result;
}
