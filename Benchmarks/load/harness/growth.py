"""Whether costs stay flat: CPU per message as connections grow from one to ten thousand, and as workers grow from one to
two."""

import os
import resource

from . import works
from .candidates import Candidate, Starter
from .rounds import Load

COUNTS = (1, 10, 100, 1_000, 4_000, 10_000)
NAMES = ("sidecar", "nginx", "floor-epoll")
ROUNDS = 3
MESSAGE_BYTES = 64

DESCRIPTORS_PER_CONNECTION = 4
"""What the sidecar sets aside: two sockets, and the two ends of a pipe."""
PEER_CONNECTIONS_MAX = 4_000
"""What the other candidates' settings have room for."""


def counts() -> list[int]:
    """As far as the limit on open files allows."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [count for count in COUNTS if count * DESCRIPTORS_PER_CONNECTION < limit - 500]


def connections(starter: Starter, load: Load, note) -> list[dict]:
    """Messages on ever more connections, all of them in use."""
    found = []
    present = [starter.start(name, "messages", False) for name in NAMES]
    try:
        for number in range(ROUNDS):
            for count in counts():
                for candidate in present:
                    if candidate.name == "sidecar" or count <= PEER_CONNECTIONS_MAX:
                        found.append(sample(candidate, count, load, kind="connections", round=number))
                note(f"growth to {count} connections: round {number + 1} of {ROUNDS}")
    finally:
        for candidate in present:
            candidate.stop()
    return found


def workers(starter: Starter, load: Load, note) -> list[dict]:
    """The same messages through one worker and through two. Two have both cores, and share one of them with load and
    origin, so that throughput says nothing here; CPU per message does."""
    found = []
    present = {
        1: starter.start("sidecar", "messages", False),
        2: starter.start("sidecar", "messages", False, workers=2, cores=os.sched_getaffinity(0))}
    try:
        for number in range(ROUNDS):
            for count, candidate in present.items():
                found.append(sample(candidate, 64, load, kind="workers", workers=count, round=number))
            note(f"growth to 2 workers: round {number + 1} of {ROUNDS}")
    finally:
        for candidate in present.values():
            candidate.stop()
    return found


def sample(candidate: Candidate, count: int, load: Load, **more) -> dict:
    return {
        "candidate": candidate.name, "connections": count,
        **load.sample(works.messages(count, MESSAGE_BYTES), candidate), **more}
