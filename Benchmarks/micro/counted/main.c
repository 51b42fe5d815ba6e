// Runs each subject as often as its line says, one after the other, for callgrind to count the instructions of. The counts are
// of what happens within micro_run; Benchmarks/micro/instructions starts this and says which is whose by the lines printed.
#include <stdio.h>

#include "MicroSubjects.h"

static const struct {
  const char *name;
  enum micro_subject subject;
  int64_t times;
} runs[] = {
    {"Ring-submit-and-complete", micro_ring, 1000},
    {"Relay-of-one-message", micro_relay, 1000},
    {"TLS-record-of-64-B", micro_tls_small, 1000},
    {"TLS-record-of-16-KiB", micro_tls_large, 100},
    {"TLS-handshake", micro_handshake_full, 20},
    {"TLS-handshake-resumed", micro_handshake_resumed, 20},
    {"Histogram-record", micro_histogram, 1000},
    {"Exposition-of-10000-series", micro_exposition, 1},
};

int main(void) {
  for (size_t index = 0; index < sizeof runs / sizeof *runs; index++) {
    void *subject = micro_open(runs[index].subject);
    if (!subject) {
      fprintf(stderr, "%s: this host refuses what it needs\n", runs[index].name);
      return 1;
    }
    micro_run(subject, runs[index].times);
    micro_close(subject);
    printf("%s %lld\n", runs[index].name, (long long)runs[index].times);
  }
}
