#!/usr/bin/env python3
"""Makes every system call once, with arguments that hardly any can use, and prints what became of each: from its
number to its errno, 255 where it succeeded, or "signal" where one ended it. What a seccomp filter refuses shows there.
"""

import ctypes
import json
import os
import signal

# Linux 6.18 has 470; a number that is free answers ENOSYS, filter or not.
NUMBERS = range(0, 480)
NO_ERRNO = 255
PATIENCE = 0.5

libc = ctypes.CDLL(None, use_errno=True)


def outcome(number):
    child = os.fork()
    if child == 0:
        # Some wait for ever, as pause(2) does: the default action of SIGALRM ends them.
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        result = libc.syscall(number, *[ctypes.c_long(-1)] * 6)
        os._exit(ctypes.get_errno() if result == -1 else NO_ERRNO)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        # Which one is chance after vfork(2): two processes have run on one stack.
        return "signal"
    return os.WEXITSTATUS(status)


print(json.dumps({number: outcome(number) for number in NUMBERS}))
