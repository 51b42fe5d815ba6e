// The floor: relay loops with as few system calls as the work allows, and nothing else – no limits, timeouts, metrics,
// logs, and no care for ends beyond passing them on. Not a proxy to use: it shows how cheap a relay can be on a machine,
// and what each way of using the kernel costs. The harness starts it as `relay-floor KIND[+SWITCH…] LISTEN TARGET`
// (ports on 127.0.0.1; docs/performance.md has what came out of the switches).
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "floor.h"

static const char usage[] =
    "usage: relay-floor KIND[+SWITCH…] LISTEN-PORT TARGET-PORT [CERTIFICATE KEY TRUST-BUNDLE]\n"
    "kinds: epoll, io_uring, splice; with files: tls-terminate, tls-originate\n"
    "or: relay-floor handshakes SECONDS CERTIFICATE KEY TRUST-BUNDLE CERTIFICATE KEY TRUST-BUNDLE, the client's first\n"
    "switches of all: reno sized workers=COUNT\n"
    "switches of io_uring: multishot oneshot own ready | bundle incremental try-first link fixed-files\n"
    "  direct silent | coop timed spin=µs gather=COUNT:µs";

static _Noreturn void refuse(void) {
  errno = 0;
  fail(usage);
}

/// Switches that are a word.
static const struct {
  const char *word;
  size_t offset;
} flags[] = {
    {"reno", offsetof(struct settings, reno)},
    {"sized", offsetof(struct settings, sized)},
    {"bundle", offsetof(struct settings, bundle)},
    {"incremental", offsetof(struct settings, incremental)},
    {"try-first", offsetof(struct settings, try_first)},
    {"link", offsetof(struct settings, link)},
    {"fixed-files", offsetof(struct settings, fixed_files)},
    {"direct", offsetof(struct settings, send_directly)},
    {"silent", offsetof(struct settings, silent_sends)},
    {"coop", offsetof(struct settings, cooperative)},
    {"timed", offsetof(struct settings, timed_wait)},
};

/// Ways to receive, in the order of `enum receive`.
static const char *const ways[] = {"multishot", "oneshot", "own", "ready"};

static void apply(struct settings *settings, const char *word) {
  for (size_t index = 0; index < sizeof flags / sizeof *flags; index++) {
    if (strcmp(word, flags[index].word) != 0) continue;
    *(bool *)((char *)settings + flags[index].offset) = true;
    return;
  }
  for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
    if (strcmp(word, ways[way]) != 0) continue;
    settings->receive = (enum receive)way;
    return;
  }
  if (sscanf(word, "workers=%u", &settings->workers) == 1) return;
  if (sscanf(word, "spin=%u", &settings->spin_microseconds) == 1) return;
  if (sscanf(word, "gather=%u:%u", &settings->gather_count, &settings->gather_microseconds) == 2) return;
  refuse();
}

/// Every worker goes on from here. Those but the first end with it.
static void start_workers(unsigned count) {
  for (unsigned worker = 1; worker < count; worker++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) continue;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl");
    return;
  }
}

int main(int count, char **arguments) {
  if (count == 9 && strcmp(arguments[1], "handshakes") == 0) {
    char **own = arguments + 3, **other = own + 3, *end;
    double seconds = strtod(arguments[2], &end);
    if (*end != 0 || !(seconds > 0)) refuse();
    run_handshakes(
        seconds, &(struct identity){false, own[0], own[1], own[2]},
        &(struct identity){true, other[0], other[1], other[2]});
    return 0;
  }
  if (count != 4 && count != 7) refuse();
  struct settings settings = {
      .listen_port = (uint16_t)atoi(arguments[2]),
      .target_port = (uint16_t)atoi(arguments[3]),
  };
  char *rest = arguments[1];
  const char *kind = strsep(&rest, "+");
  for (const char *word; (word = strsep(&rest, "+"));) apply(&settings, word);
  bool terminates = strcmp(kind, "tls-terminate") == 0;
  bool has_tls = terminates || strcmp(kind, "tls-originate") == 0;
  if (has_tls != (count == 7)) refuse();
  if (has_tls) settings.identity = (struct identity){terminates, arguments[4], arguments[5], arguments[6]};
  start_workers(settings.workers);
  if (has_tls) run_tls(&settings);
  else if (strcmp(kind, "epoll") == 0) run_epoll(&settings);
  else if (strcmp(kind, "io_uring") == 0) run_ring(&settings);
  else if (strcmp(kind, "splice") == 0) run_splice(&settings);
  refuse();
}
