"""Waiting for what has to come, with a limit that only a broken system reaches."""

import time

LIMIT = 30
PAUSE = 0.05


class TimedOut(Exception):
    """What was waited for didn't come."""


def until(condition, what, limit=LIMIT):
    """Waits until `condition()` is true, and returns what it returned. `what` says so where it doesn't happen."""
    deadline = time.monotonic() + limit
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimedOut(f"not within {limit} s: {what() if callable(what) else what}")
        time.sleep(PAUSE)
