"""Whether costs stay flat: CPU per message, CPU per new connection and memory per connection as connections grow from one to
ten thousand, and CPU per message as workers grow from one to two. A candidate takes its steps one right after the other: the
machine changes its speed by a third for seconds, and what belongs together has to lie within the same ones."""

import contextlib
import dataclasses
import itertools
import os
import resource
from collections.abc import Iterator

from . import BenchmarkFailure, works
from .candidates import Starter
from .memory import HeldConnections
from .rounds import Load, in_turn

BUSY_COUNTS = (1, 10, 100, 1_000, 10_000)
"""Connections that are all in use."""
HELD_COUNTS = (64, 1_000, 10_000)
"""Connections of which `FEW` are in use."""
FEW = 64
WORKER_COUNTS = (1, 2)
PEER, FLOOR = "nginx", "floor-epoll"
NAMES = ("sidecar", PEER, FLOOR)
ROUNDS = 5
"""Of a run so many have it: a round of it takes as long as one of everything else in the clear."""
MESSAGE_BYTES = 64
RESERVED_DESCRIPTORS = 1_500
"""What a proxy has open besides its connections, or sets aside: the sidecar keeps a sixteenth of all for the pipes of bulk."""


def open_files_max() -> int:
    """How many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def fitting(counts: tuple[int, ...], open_files: int) -> list[int]:
    """The last one is as near to ten thousand as a proxy's limit on open files allows: a connection takes two, and at
    either end of it a process of its own has one."""
    room = (open_files - RESERVED_DESCRIPTORS) // 2
    if room < FEW:
        raise BenchmarkFailure(f"{open_files} open files are too few for connections to grow (ulimit -n)")
    return [count for count in counts[:-1] if count < room] + [min(counts[-1], room)]


def one_round(starter: Starter, load: Load, number: int, note) -> list[dict]:
    """Every step of all that grows, once."""
    found = []
    for kind, steps in {"busy": busy, "held": held, "workers": workers}.items():
        for name in in_turn(NAMES, kind, number):
            for measured in steps(starter, load, name):
                found.append({"kind": kind, "candidate": name, "round": number, **measured})
                note(f"growth, {kind}: {measured['connections']} connections, {measured['workers']} workers")
    return found


def busy(starter: Starter, load: Load, name: str) -> Iterator[dict]:
    """Messages on all connections: what the kernel has to touch grows with them. Messages go round in waves, of which a
    sample has to see several: with ten thousand connections one takes as long as other works' samples. Each step has a fresh
    process, whose memory is that of its connections."""
    for count in fitting(BUSY_COUNTS, open_files_max()):
        with started(starter, name, count) as candidate:
            work = dataclasses.replace(works.messages(count, MESSAGE_BYTES), length=max(1.0, count / 2_000))
            yield step("round trip", count, 1, load.sample(work, candidate))


def held(starter: Starter, load: Load, name: str) -> Iterator[dict]:
    """Messages on few of the connections, then new connections beside them: the same work for the same process, however many
    more it has."""
    counts = fitting(HELD_COUNTS, open_files_max())
    with started(starter, name, counts[-1]) as candidate, contextlib.ExitStack() as idle:
        for before, count in itertools.pairwise([FEW, *counts]):
            if count > before:
                idle.enter_context(HeldConnections(load, candidate, count - before))
            yield step("round trip", count, 1, load.sample(works.messages(FEW, MESSAGE_BYTES), candidate))
            yield step("new connection", count, 1, load.sample(works.CONNECT, candidate))


def workers(starter: Starter, load: Load, name: str) -> Iterator[dict]:
    """Messages through one worker and through two, and the same backwards, so that a machine that gets slower meanwhile does
    so for both. All of them may run on both cores, and share one of them with load and origin, so that throughput says
    nothing here; CPU per message does."""
    with contextlib.ExitStack() as stack:
        cores = os.sched_getaffinity(0)
        candidates = {count: stack.enter_context(started(starter, name, FEW, workers=count, cores=cores)) for count in WORKER_COUNTS}
        for count in (*WORKER_COUNTS, *reversed(WORKER_COUNTS)):
            yield step("round trip", FEW, count, load.sample(works.messages(FEW, MESSAGE_BYTES), candidates[count]))


def step(work: str, connections: int, workers: int, sample: dict) -> dict:
    return {"work": work, "connections": connections, "workers": workers, **sample}


@contextlib.contextmanager
def started(starter: Starter, name: str, connections: int, **options):
    """A candidate for the length of a block."""
    candidate = starter.start(name, "messages", False, connections=connections, **options)
    try:
        yield candidate
    finally:
        candidate.stop()
