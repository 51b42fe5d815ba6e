// Between the benchmarks and what they measure. A C interface, because the two can't import each other: the library that
// measures brings the kernel's io_uring.h, and one module can't have that beside liburing's.
#pragma once
#include <stdint.h>

enum micro_subject {
  /// An operation on a ring that completes at once, from submission to completion.
  micro_ring,
  /// A message of 64 bytes from a client to the app, through a real worker on a kernel without sockets.
  micro_relay,
  /// A record of 64 bytes and of 16 KiB, sealed by one session and opened by another.
  micro_tls_small,
  micro_tls_large,
  /// Both ends of a handshake, with certificates on both sides that were verified before, or resumed.
  micro_handshake_full,
  micro_handshake_resumed,
  /// A value put into a histogram.
  micro_histogram,
  /// The text of 10,000 series.
  micro_exposition,
};

/// What a thread did.
struct micro_costs {
  uint64_t allocations, retains, releases, system_calls;
};

/// Sets a subject up, and runs it once. Null if the host refuses what it needs.
void *micro_open(enum micro_subject subject);
/// Runs it as often as asked.
struct micro_costs micro_run(void *subject, int64_t times);
void micro_close(void *subject);
