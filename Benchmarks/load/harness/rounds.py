"""Who is measured when: in each round every candidate does every work once (or as often as it has turns), one candidate right
after the other, so that whatever the machine does meanwhile hits all of them alike."""

import contextlib
import json
import pathlib
import random
import subprocess
from collections.abc import Sequence

from . import BenchmarkFailure, machine, processes
from .candidates import Candidate, Programs, takes_part
from .works import Work


ATTEMPTS_MAX = 3
WARM_UP_SECONDS, WARM_UP_SHARE = 0.05, 0.1
"""Before each sample so long, or so much of its length if that is more, under the same load and not counted."""
seed = 0
"""Of the orders of candidates; the run's own."""


class Load:
    """Runs the load generator on its core."""

    def __init__(self, programs: Programs, core: int, seconds: float, received: pathlib.Path):
        self.program = programs.load
        self.received = received
        """Where the origin counts bytes that have gone all the way."""
        self.core = core
        self.seconds = seconds

    def sample(self, work: Work, candidate: Candidate) -> dict:
        """One window of one work through one candidate. One in which nothing came through, or a proxy got no CPU at all,
        tells of the machine, not of the candidate, and is measured again; how often is in the sample."""
        if candidate.alone:
            return {**candidate.alone(self.seconds * work.length), "attempts": 1}
        for attempt in range(1, ATTEMPTS_MAX + 1):
            why = "the proxy got no CPU"
            done = self._run(work, candidate)
            candidate.check()
            if done.returncode == 0:
                sample = {**measured(json.loads(done.stdout), candidate), "attempts": attempt}
                if sample["cpuSeconds"] > 0 or not candidate.pids:
                    return sample
            else:
                why = done.stderr.strip()
                if "no progress" not in why:
                    break
        raise BenchmarkFailure(f"{work.name} through {candidate.name}: {why}")

    def _run(self, work: Work, candidate: Candidate) -> subprocess.CompletedProcess:
        seconds = self.seconds * work.length
        arguments = [
            self.program, *work.arguments, "--to", f"127.0.0.1:{candidate.port}",
            "--seconds", str(seconds), "--warm-up", str(max(WARM_UP_SECONDS, WARM_UP_SHARE * seconds))]
        if work.profile == "bulk":
            arguments += ["--received", self.received]
        for pid in candidate.pids:
            arguments += ["--observe", str(pid)]
        try:
            return subprocess.run(
                arguments, capture_output=True, text=True, timeout=seconds + 60,
                preexec_fn=processes.on_cores({self.core}, real_time=work.real_time))
        except subprocess.TimeoutExpired:
            raise BenchmarkFailure(f"{work.name} through {candidate.name} never ended") from None


def measured(result: dict, candidate: Candidate) -> dict:
    """The generator's result, with what it saw of the candidate's processes added up. The pages of files that processes of one
    server have resident, as nginx's master and worker do, are mostly the same: those of the one with most of them count. Anonymous
    pages that a fork has in common with its parent still count twice, some hundred KiB of nginx's."""
    observed = result.pop("observed")
    anonymous = sum(one["anonymousBytes"] for one in observed)
    files = {one["process"]: one["residentBytes"] - one["anonymousBytes"] for one in observed}
    of_servers = sum(max(files.get(pid, 0) for pid in server.pids) for server in candidate.servers)
    return {
        **result, "cpuSeconds": sum(one["cpuNanoseconds"] for one in observed) / 1e9,
        "anonymousBytes": anonymous, "residentBytes": anonymous + of_servers}


def measure_round(
        number: int, works: list[Work], candidates: list[Candidate], origin: processes.Server, load: Load, table: str,
        note) -> list[dict]:
    """The samples of one round. `note` is told of progress."""
    samples = []
    for work in works:
        present = [candidate for candidate in candidates if takes_part(candidate.name, work, table)]
        if work.real_time:
            machine.forget_closed_connections()
        with machine.awake() if work.real_time else contextlib.nullcontext():
            for turn in range(number * work.turns, (number + 1) * work.turns):
                samples += measure_turn(turn, work, present, origin, load, table)
        note(f"{table} {work.name}: round {number + 1}")
    return samples


def measure_turn(
        number: int, work: Work, candidates: list[Candidate], origin: processes.Server, load: Load, table: str) -> list[dict]:
    samples = []
    for candidate in in_turn(candidates, work.name, number):
        # Not the other candidates: what they do while they wait is no part of this one's sample.
        taking_part = [*origin.pids, *candidate.pids]
        with processes.real_time(taking_part) if work.real_time else contextlib.nullcontext():
            sample = load.sample(work, candidate)
        samples.append({"table": table, "work": work.name, "candidate": candidate.name, "round": number, "turns": work.turns, **sample})
    return samples


def in_turn(candidates: Sequence, *occasion) -> list:
    """In another order each time, so that nobody always comes behind the same one; and another one in each run: what the host
    does at some second of a run would else hit the same candidate in all of them, and look like its own."""
    return random.Random(repr((seed, *occasion))).sample(candidates, len(candidates))
