"""What candidates hold in memory: the idle process, and connections that were used once and then do nothing. Memory
doesn't depend on what else the machine does, so each is measured once."""

import select
import subprocess
import time

from . import BenchmarkFailure, processes
from .candidates import PEERS, Candidate, Starter
from .rounds import Load

NAMES = ("sidecar", *PEERS)
FIRST_CONNECTIONS = 50
CONNECTIONS = 2_000
SETTLING_SECONDS = 1.0
"""For buffers to be given back and for start-up to end."""
ANSWER_SECONDS = 60.0
"""For all connections to be open, or to have been used again."""


def idle_processes(starter: Starter, names: list[str]) -> list[dict]:
    """Each proxy with nothing to do; the sidecar with everything on that a pod would have on: an identity, a listener with
    mutual TLS in either direction, and the access log."""
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
    first one touches of the program count as the process's; with mutual TLS, to that of each of the pair on average."""
    found = []
    for name in names:
        candidate = starter.start(name, "messages", table == "mtls")
        try:
            with HeldConnections(load, candidate, FIRST_CONNECTIONS):
                time.sleep(SETTLING_SECONDS)
                before, _ = totals(candidate)
                with HeldConnections(load, candidate, CONNECTIONS):
                    time.sleep(SETTLING_SECONDS)
                    after, _ = totals(candidate)
            candidate.check()
            found.append({
                "kind": "connection", "table": table, "candidate": name, "connections": CONNECTIONS,
                "bytesPerConnection": (after - before) / CONNECTIONS / len(candidate.servers)})
        finally:
            candidate.stop()
    return found


def totals(candidate: Candidate) -> tuple[int, int]:
    """Resident and anonymous bytes of all its processes."""
    each = [server.memory() for server in candidate.servers]
    return sum(resident for resident, _ in each), sum(anonymous for _, anonymous in each)


class HeldConnections:
    """Connections through a candidate, each used once, held until the block ends; then each is used again."""

    def __init__(self, load: Load, candidate: Candidate, count: int):
        self.name = candidate.name
        self.process = subprocess.Popen(
            [load.program, "idle", "--to", f"127.0.0.1:{candidate.port}", "--connections", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=processes.on_cores({load.core}))

    def __enter__(self):
        try:
            if not select.select([self.process.stdout], [], [], ANSWER_SECONDS)[0]:
                raise BenchmarkFailure(f"idle connections through {self.name} were never open")
            if self.process.stdout.readline().strip() != "open":
                raise BenchmarkFailure(f"idle connections through {self.name}: {self._end()}")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and (errors := self._end()) is not None:
                raise BenchmarkFailure(f"idle connections through {self.name}: {errors}")
        finally:
            self._kill()

    def _end(self) -> str | None:
        """Has each used again. Returns what went wrong."""
        try:
            _, errors = self.process.communicate("", timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchmarkFailure(f"idle connections through {self.name} never ended") from None
        return None if self.process.returncode == 0 else errors.strip()

    def _kill(self) -> None:
        with self.process:
            self.process.kill()
