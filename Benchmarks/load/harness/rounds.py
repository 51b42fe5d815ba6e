"""Who is measured when: in each round every candidate does every work once, one candidate right after the other, so
that whatever the machine does meanwhile hits all of them alike. The order turns from round to round."""

import json
import subprocess

from . import BenchmarkFailure, processes
from .candidates import Candidate, Programs, takes_part
from .works import Work


class Load:
    """Runs the load generator on its core."""

    def __init__(self, programs: Programs, core: int, seconds: float):
        self.program = programs.load
        self.core = core
        self.seconds = seconds

    def sample(self, work: Work, candidate: Candidate) -> dict:
        """One window of one work through one candidate."""
        arguments = [
            self.program, *work.arguments, "--to", f"127.0.0.1:{candidate.port}",
            "--seconds", str(self.seconds * work.length), "--warm-up", "0.1"]
        for pid in candidate.pids:
            arguments += ["--observe", str(pid)]
        try:
            done = subprocess.run(
                arguments, capture_output=True, text=True, timeout=60, preexec_fn=processes.on_cores({self.core}))
        except subprocess.TimeoutExpired:
            raise BenchmarkFailure(f"{work.name} through {candidate.name} never ended") from None
        candidate.check()
        if done.returncode != 0:
            raise BenchmarkFailure(f"{work.name} through {candidate.name}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        observed = result.pop("observed")
        result["cpuSeconds"] = sum(one["cpuNanoseconds"] for one in observed) / 1e9
        result["residentBytes"] = sum(one["residentBytes"] for one in observed)
        return result


def run(works: list[Work], candidates: list[Candidate], rounds: int, load: Load, table: str, note) -> list[dict]:
    """All samples of a section. `note` is told of progress."""
    samples = []
    for number in range(rounds):
        for index, work in enumerate(works):
            present = [one for one in candidates if takes_part(one.name, work)]
            turn = (number + index) % len(present)
            for candidate in present[turn:] + present[:turn]:
                sample = load.sample(work, candidate)
                samples.append({
                    "table": table, "work": work.name, "candidate": candidate.name, "round": number, **sample})
            note(f"{table} {work.name}: round {number + 1} of {rounds}")
    return samples
