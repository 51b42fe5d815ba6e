"""Whether costs stay flat: CPU per message and memory per connection as connections grow from one to ten thousand, and
CPU per message as workers grow from one to two."""

import os
import resource

from . import works
from .candidates import Starter
from .rounds import Load

COUNTS = (1, 10, 100, 1_000, 4_000, 10_000)
NAMES = ("sidecar", "nginx", "floor-epoll", "floor-io_uring+ready")
"""The floors that hold no buffers, of which the others run out with this many busy connections."""
ROUNDS_MAX = 3
MESSAGE_BYTES = 64
RESERVED_DESCRIPTORS = 200
"""What a proxy has open besides its connections, and more."""


def open_files_max() -> int:
    """How many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def counts(open_files: int) -> list[int]:
    """The last one is as near to ten thousand as a proxy's limit on open files allows: a connection takes two, and at
    either end of it a process of its own has one."""
    room = (open_files - RESERVED_DESCRIPTORS) // 2
    return [count for count in COUNTS[:-1] if count < room] + [min(COUNTS[-1], room)]


def connections(starter: Starter, load: Load, rounds: int, note) -> list[dict]:
    """Messages on ever more connections, all of them in use. Each sample has a fresh process: what it
    holds beyond one that has a single connection is what the others took."""
    found = []
    for number in range(rounds):
        for index, count in enumerate(counts(open_files_max())):
            turn = (number + index) % len(NAMES)
            for name in NAMES[turn:] + NAMES[:turn]:
                found.append(sample(starter, load, name, count, kind="connections", round=number))
            note(f"growth to {count} connections: round {number + 1} of {rounds}")
    return found


def workers(starter: Starter, load: Load, rounds: int, note) -> list[dict]:
    """The same messages through one worker and through two. Two have both cores, and share one of them with load and
    origin, so that throughput says nothing here; CPU per message does."""
    found = []
    for number in range(rounds):
        for count in (1, 2):
            options = {} if count == 1 else {"workers": count, "cores": os.sched_getaffinity(0)}
            found.append(sample(starter, load, "sidecar", 64, kind="workers", round=number, **options))
        note(f"growth to 2 workers: round {number + 1} of {rounds}")
    return found


def sample(starter: Starter, load: Load, name: str, count: int, kind: str, round: int, workers: int = 1, **options) -> dict:
    if name == "sidecar" and open_files_max() - RESERVED_DESCRIPTORS < count * 4:
        # It would stop accepting where its reckoning of four per connection ends.
        options["preload"] = starter.programs.allowance
    candidate = starter.start(name, "messages", False, workers=workers, connections=count, **options)
    try:
        measured = load.sample(works.messages(count, MESSAGE_BYTES), candidate)
    finally:
        candidate.stop()
    return {
        "kind": kind, "candidate": name, "connections": count, "workers": workers, "round": round, **measured}
