// libFuzzer's entry point, which is there only in the build that `make fuzz` makes. https://llvm.org/docs/LibFuzzer.html
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Takes an input; 0: it may go into the corpus.
typedef int (*fuzzsupport_target)(const uint8_t *bytes, size_t count);

/// Runs the fuzzer and exits. Weak: a build without libFuzzer links as well.
extern int LLVMFuzzerRunDriver(int *argument_count, char ***arguments, fuzzsupport_target target)
    __attribute__((weak));

static inline bool fuzzsupport_is_linked(void) { return LLVMFuzzerRunDriver != 0; }

static inline int fuzzsupport_run(int *argument_count, char ***arguments, fuzzsupport_target target) {
  return LLVMFuzzerRunDriver(argument_count, arguments, target);
}
