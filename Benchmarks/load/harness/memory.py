"""What candidates hold in memory: the idle process, and connections that were used once and then do nothing. In rounds,
since two processes of one program differ: the kernel maps more pages of its file than those that are touched, in one process
twice as many as in another (1.9 to 3.7 MiB of the sidecar's code)."""

import contextlib
import select
import subprocess
import time

from . import BenchmarkFailure, processes
from .candidates import PEERS, Candidate, Starter
from .rounds import Load, in_turn

NAMES = ("sidecar", *PEERS)
ROUNDS = 5
"""So many of a run's rounds measure memory, each in a quarter of a minute."""
FIRST_CONNECTIONS = 50
CONNECTIONS = 2_000
SETTLING_SECONDS = 1.0
"""For buffers to be given back and for start-up to end."""
ANSWER_SECONDS = 60.0
"""For all connections to be open, or to have been used again."""


def one_round(starter: Starter, names: list[str], table: str, load: Load, number: int, note) -> list[dict]:
    """Every candidate once; idle processes go with the first table, since they are the same for both."""
    names = in_turn(names, "memory", table, number)
    found = []
    if table == "clear":
        note(f"memory: idle processes, round {number + 1}")
        found += idle_processes(starter, names)
    note(f"memory: idle connections, {table}, round {number + 1}")
    attempts = 1
    try:
        found += idle_connections(starter, names, table, load)
    except BenchmarkFailure as failure:
        # One in a hundred times nginx resets one of its two thousand. A run is too long to end for that, once.
        note(f"memory: again, since {failure}")
        attempts = 2
        found += idle_connections(starter, names, table, load)
    return [{"round": number, "attempts": attempts, **one} for one in found]


def idle_processes(starter: Starter, names: list[str]) -> list[dict]:
    """Each proxy with nothing to do; the sidecar with everything on that a pod would have on: an identity, a listener with
    mutual TLS in either direction, and the access log. One by one: of what a process shares with its parent, pages that
    another proxy has mapped as well, such as libc's, could not be told apart."""
    found = []
    for name in names:
        if name == "sidecar":
            candidate = starter.start_both_ways(
                name, access_log=f"path: {starter.place.inside('access.log')}, format: json")
        else:
            candidate = starter.start(name, "messages", False)
        try:
            time.sleep(SETTLING_SECONDS)
            resident, anonymous = totals(candidate)
            found.append({
                "kind": "process", "candidate": name, "residentBytes": resident, "anonymousBytes": anonymous})
        finally:
            candidate.stop()
    return found


def idle_connections(starter: Starter, names: list[str], table: str, load: Load) -> list[dict]:
    """What one of many connections adds to the resident memory of a proxy that has a few already, so that pages which the
    first one touches of the program count as the process's; with mutual TLS, to that of each of the pair on average. The
    connections of one candidate are opened after those of another; then all settle together, which saves half of the
    time."""
    with contextlib.ExitStack() as stack:
        candidates = []
        for name in names:
            candidates.append(starter.start(name, "messages", table == "mtls"))
            stack.callback(candidates[-1].stop)

        def resident_with(more: int) -> list[int]:
            for candidate in candidates:
                stack.enter_context(HeldConnections(load, candidate, more))
            time.sleep(SETTLING_SECONDS)
            return [totals(candidate)[0] for candidate in candidates]

        few, many = resident_with(FIRST_CONNECTIONS), resident_with(CONNECTIONS)
        for candidate in candidates:
            candidate.check()
        return [
            {"kind": "connection", "table": table, "candidate": candidate.name, "connections": CONNECTIONS,
             "bytesPerConnection": (after - before) / CONNECTIONS / len(candidate.servers)}
            for candidate, before, after in zip(candidates, few, many)]


def totals(candidate: Candidate) -> tuple[int, int]:
    """Resident and anonymous bytes of all its processes."""
    each = [server.memory() for server in candidate.servers]
    return sum(resident for resident, _ in each), sum(anonymous for _, anonymous in each)


class HeldConnections:
    """Connections through a candidate, each used once, held until the block ends; then each is used again."""

    def __init__(self, load: Load, candidate: Candidate, count: int):
        self.candidate = candidate
        self.process = subprocess.Popen(
            [load.program, "idle", "--to", f"127.0.0.1:{candidate.port}", "--connections", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=processes.on_cores({load.core}))

    def __enter__(self):
        try:
            if not select.select([self.process.stdout], [], [], ANSWER_SECONDS)[0]:
                raise self._failure("were never open")
            if self.process.stdout.readline().strip() != "open":
                raise self._failure(f"did not open: {self._end()}")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and (errors := self._end()) is not None:
                raise self._failure(f"could not be used again: {errors}")
        finally:
            self._kill()

    def _end(self) -> str | None:
        """Has each used again. Returns what went wrong."""
        try:
            _, errors = self.process.communicate("", timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failure("never ended") from None
        return None if self.process.returncode == 0 else errors.strip()

    def _failure(self, what: str) -> BenchmarkFailure:
        """That of the proxy, if it has ended."""
        self.candidate.check()
        return BenchmarkFailure(f"idle connections through {self.candidate.name} {what}")

    def _kill(self) -> None:
        with self.process:
            self.process.kill()
