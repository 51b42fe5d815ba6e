"""What a candidate adds to the latency of the direct path at a fixed rate.

A tail can't be read from one sample: of the few thousand messages of one, a handful lie beyond p99.9, and one pause of the
machine decides where. So the histograms of all rounds become one per candidate (HdrHistogram's counts add up exactly),
and its percentile is compared with that of the direct path."""

import bisect
import itertools

from . import bootstrap, summary

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


class Latencies:
    """One candidate's latencies at one work, by round."""

    def __init__(self, samples: dict[int, dict]):
        self._rounds: dict[int, tuple[list[int], list[int]]] = {}
        """Values in ascending order, and how many messages took no longer."""
        for number, sample in samples.items():
            values = [value for value, _ in sample["latencyCounts"]]
            self._rounds[number] = (values, list(itertools.accumulate(count for _, count in sample["latencyCounts"])))
        self._values = sorted({value for values, _ in self._rounds.values() for value in values})

    @property
    def rounds(self) -> set[int]:
        return set(self._rounds)

    def percentile(self, fraction: float, rounds: list[int]) -> float:
        """In microseconds, over all messages of the rounds, which may repeat."""
        drawn = [self._rounds[number] for number in rounds]
        wanted = fraction * sum(counts[-1] for _, counts in drawn)

        def count(value: int) -> int:
            """Messages that took no longer."""
            return sum(
                counts[place - 1] for values, counts in drawn if (place := bisect.bisect_right(values, value)) > 0)

        return self._values[bisect.bisect_left(self._values, wanted, key=count)] / 1000


class Comparison:
    """The candidates at one work, and the rounds in which all of them and the direct path were measured."""

    def __init__(self, samples: list[dict], table: str, work: str):
        self._of = {
            name: Latencies(summary.rounds_of(samples, table, work, name))
            for name in summary.candidates_of(samples, table, work)}
        self.candidates = [name for name in self._of if name != "direct"] if "direct" in self._of else []
        self.rounds = sorted(set.intersection(*(one.rounds for one in self._of.values()))) if self._of else []

    def added(self, candidate: str, fraction: float) -> float:
        """Microseconds."""
        return self._between(candidate, "direct", fraction, self.rounds)

    def added_spread(self, candidate: str, fraction: float) -> bootstrap.Spread:
        return bootstrap.spread(self.rounds, lambda drawn: self._between(candidate, "direct", fraction, drawn))

    def difference_spread(self, candidate: str, other: str, fraction: float) -> bootstrap.Spread:
        """Of how much more one candidate adds than another; less, where it is negative."""
        return bootstrap.spread(self.rounds, lambda drawn: self._between(candidate, other, fraction, drawn))

    def _between(self, candidate: str, other: str, fraction: float, rounds: list[int]) -> float:
        return self._of[candidate].percentile(fraction, rounds) - self._of[other].percentile(fraction, rounds)
