"""What a candidate adds to the latency of the direct path at a fixed rate.

All messages of all rounds go into one histogram per candidate, and its percentiles speak for the candidate. The machine's
own pauses are in it: each delays several messages in a row, and the slowest thousandth consists of such messages, which lie
in some of the samples. The median of the samples' own percentiles would step over them, and be no percentile of all messages.
Candidates take turns, so that pauses hit everybody alike; but who has how many in few rounds is chance. So the spread of p99.9
is wide, and only a difference beyond it is called one."""

import bisect
import itertools
from collections.abc import Iterable

from . import BenchmarkFailure, bootstrap, summary

PERCENTILES = {"p50": 500, "p99": 990, "p99.9": 999}
"""As the tables call them, and how many of a thousand messages take no longer."""


class Merged:
    """The histograms of several rounds, to be put together in any selection. `samples` are one candidate's, by round."""

    def __init__(self, samples: dict[int, dict]):
        buckets = {number: dict(buckets_of(sample)) for number, sample in samples.items()}
        self.rounds = sorted(buckets)
        self._values = sorted(set(itertools.chain.from_iterable(buckets.values())))
        self._up_to = {
            number: list(itertools.accumulate(counts.get(value, 0) for value in self._values))
            for number, counts in buckets.items()}
        """By round, how many messages took no longer than each of the values."""
        self._known: dict[tuple[int, tuple[int, ...]], float] = {}
        """Percentiles that were asked for. A bootstrap draws the same rounds over and over."""

    def percentile(self, thousandths: int, rounds: Iterable[int]) -> float:
        """In microseconds: the lowest value that so many of a thousand messages don't exceed. A round counts as often as it
        is named."""
        key = thousandths, tuple(sorted(rounds))
        if key not in self._known:
            self._known[key] = self._percentile(*key)
        return self._known[key]

    def _percentile(self, thousandths: int, rounds: tuple[int, ...]) -> float:
        drawn = [self._up_to[number] for number in rounds]
        rank = -(-sum(counts[-1] for counts in drawn) * thousandths // 1000)
        # Added up only where the search looks, in ten places of a thousand: a page asks for some ten thousand percentiles.
        index = bisect.bisect_left(
            range(len(self._values)), rank, key=lambda index: sum(counts[index] for counts in drawn))
        return self._values[index] / 1000


def buckets_of(sample: dict) -> list[list[int]]:
    """The generator's histogram: nanoseconds, and how many messages took them."""
    found = sample["latencyNanoseconds"].get("buckets")
    if not found:
        raise BenchmarkFailure(
            f"{sample['work']} through {sample['candidate']}: the results have percentiles only, and no histogram to merge")
    return found


class Comparison:
    """The candidates at one work, and the rounds in which all of them and the direct path were measured."""

    def __init__(self, samples: list[dict], table: str, work: str):
        self._of = {
            name: Merged(summary.rounds_of(samples, table, work, name))
            for name in summary.candidates_of(samples, table, work)}
        common = set.intersection(*(set(one.rounds) for one in self._of.values())) if "direct" in self._of else set()
        self.rounds = sorted(common)
        self.candidates = [name for name in self._of if name != "direct"] if common else []

    def added(self, candidate: str, thousandths: int) -> float:
        """Microseconds."""
        return self._between(candidate, "direct", thousandths, self.rounds)

    def added_spread(self, candidate: str, thousandths: int) -> bootstrap.Spread:
        return self._spread(lambda drawn: self._between(candidate, "direct", thousandths, drawn))

    def difference_spread(self, candidate: str, others: list[str], thousandths: int) -> bootstrap.Spread:
        """Of how much more one candidate adds than the best of the others, whoever that is; less, where it is negative."""
        return self._spread(lambda drawn: max(self._between(candidate, other, thousandths, drawn) for other in others))

    def _spread(self, figure) -> bootstrap.Spread:
        return bootstrap.spread(self.rounds, figure)

    def _between(self, candidate: str, other: str, thousandths: int, rounds: list[int]) -> float:
        """The rounds may repeat, and are the same for both."""
        ours, theirs = (self._of[name].percentile(thousandths, rounds) for name in (candidate, other))
        return ours - theirs
