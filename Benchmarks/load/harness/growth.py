"""Whether costs stay flat: CPU per message, CPU per new connection and memory per connection as connections grow from one to
ten thousand, and CPU per message as workers grow from one to two. Each sample has a fresh process."""

import contextlib
import dataclasses
import os
import resource

from . import works
from .candidates import Candidate, Starter
from .memory import HeldConnections
from .rounds import Load, in_turn

BUSY_COUNTS = (1, 10, 100, 1_000, 10_000)
"""Connections that are all in use."""
HELD_COUNTS = (64, 1_000, 10_000)
"""Connections of which `FEW` are in use."""
FEW = 64
PEER, FLOOR = "nginx", "floor-epoll"
NAMES = ("sidecar", PEER, FLOOR)
BUSY_ROUNDS = 5
"""So many have all connections in use, which takes longest."""
MESSAGE_BYTES = 64
RESERVED_DESCRIPTORS = 200
"""What a proxy has open besides its connections, and more."""


def open_files_max() -> int:
    """How many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def fitting(counts: tuple[int, ...], open_files: int) -> list[int]:
    """The last one is as near to ten thousand as a proxy's limit on open files allows: a connection takes two, and at
    either end of it a process of its own has one."""
    room = (open_files - RESERVED_DESCRIPTORS) // 2
    return [count for count in counts[:-1] if count < room] + [min(counts[-1], room)]


def one_round(starter: Starter, load: Load, number: int, note) -> list[dict]:
    """Every step of what grows in this round, once."""
    found = []

    def measure(kind: str, connections: int, workers: int, step) -> None:
        for name in in_turn(NAMES, kind, connections, workers, number):
            with started(starter, name, connections, workers, has_both_cores=kind == "workers") as candidate:
                found.extend(
                    {"kind": kind, "work": what, "candidate": name, "connections": connections, "workers": workers,
                     "round": number, **sample} for what, sample in step(load, candidate, connections))
        note(f"growth, {kind}: {connections} connections, {workers} workers")

    if number < BUSY_ROUNDS:
        for count in fitting(BUSY_COUNTS, open_files_max()):
            measure("busy", count, 1, busy)
    for count in fitting(HELD_COUNTS, open_files_max()):
        measure("held", count, 1, held)
    for count in (1, 2):
        measure("workers", FEW, count, busy)
    return found


def busy(load: Load, candidate: Candidate, connections: int):
    """Messages on all connections: what the kernel has to touch grows with them. Messages go round in waves, of which a
    sample has to see several: with ten thousand connections one takes as long as other works' samples."""
    work = dataclasses.replace(works.messages(connections, MESSAGE_BYTES), length=max(1.0, connections / 2_000))
    yield "round trip", load.sample(work, candidate)


def held(load: Load, candidate: Candidate, connections: int):
    """Messages on few of the connections, then new connections beside them: the same work, however many there are."""
    idle = connections - FEW
    with HeldConnections(load, candidate, idle) if idle else contextlib.nullcontext():
        yield "round trip", load.sample(works.messages(FEW, MESSAGE_BYTES), candidate)
        yield "new connection", load.sample(works.CONNECT, candidate)


@contextlib.contextmanager
def started(starter: Starter, name: str, connections: int, workers: int, has_both_cores: bool):
    """A candidate for the length of a block. Where workers are compared all of them may run on both cores, and share one of
    them with load and origin, so that throughput says nothing there; CPU per message does."""
    options = {"cores": os.sched_getaffinity(0)} if has_both_cores else {}
    if name == "sidecar" and open_files_max() - RESERVED_DESCRIPTORS < connections * 4:
        # It would stop accepting where its reckoning of four per connection ends.
        options["preload"] = starter.programs.allowance
    candidate = starter.start(name, "messages", False, workers=workers, connections=connections, **options)
    try:
        yield candidate
    finally:
        candidate.stop()
