"""What this machine is, and which of its cores do what."""

import os

from . import BenchmarkFailure


def cores() -> tuple[int, int]:
    """One core for load and origin, another one for the proxies."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchmarkFailure("two cores are needed: one for load and origin, one for the proxy")
    return usable[0], usable[1]
