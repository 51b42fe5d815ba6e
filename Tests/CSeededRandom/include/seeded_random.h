// libcrypto's random numbers from a seed, so that a simulation with TLS in it replays to the last byte: keys, nonces and
// signatures, whose lengths differ, are the same each time.
#pragma once

#include <stdint.h>

/// From here on this thread gets numbers that follow from the seed, until `seeded_random_end`. Other threads get what
/// libcrypto has for them.
void seeded_random_begin(uint64_t seed);
void seeded_random_end(void);
