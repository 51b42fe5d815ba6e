"""Percentiles of latency, and what a candidate adds to the direct path's at a fixed rate.

Of what is added, a round's percentiles are those of its sample, and the figure is the median of the rounds, as everywhere
else. A sample has some thousand messages, of which several are beyond even its p99.9. All rounds' messages on one heap would
have another p99: on this machine pauses that are no candidate's doing delay a few messages in a hundred of one sample and
hardly any of the next; that of a heap is either side of them, as few samples happened to fall. But what a candidate itself does
in less than half of the samples only shows on the heap, so that its figure stands beside the median's and nothing is decided
against it. The tables of all rows have the heap's percentiles, with the worst message of all."""

import bisect
import itertools
import statistics
from collections.abc import Callable, Iterable

from . import BenchmarkFailure, bootstrap, summary

PERCENTILES = {"p50": 500, "p99": 990, "p99.9": 999}
"""As the tables call them, and how many of a thousand messages take no longer."""


def percentile(samples: Iterable[dict], thousandths: int) -> float:
    """In microseconds: the lowest value that so many of a thousand messages of all samples don't exceed."""
    buckets = sorted(itertools.chain.from_iterable(map(buckets_of, samples)))
    up_to = list(itertools.accumulate(count for _, count in buckets))
    value, _ = buckets[bisect.bisect_left(up_to, -(-up_to[-1] * thousandths // 1000))]
    return value / 1000


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
        self._samples = {
            name: summary.rounds_of(samples, table, work, name) for name in summary.candidates_of(samples, table, work)}
        self._of = {
            name: {
                number: {one: percentile([sample], one) for one in PERCENTILES.values()}
                for number, sample in found.items()}
            for name, found in self._samples.items()}
        common = set.intersection(*(set(one) for one in self._of.values())) if "direct" in self._of else set()
        self.rounds = sorted(common)
        self._turns: dict[int, list[int]] = {}
        """Of a round, which has its processes and its minute in common."""
        for number in self.rounds:
            self._turns.setdefault(number // self._samples["direct"][number]["turns"], []).append(number)
        self.candidates = [name for name in self._of if name != "direct"] if common else []

    def added(self, candidate: str, thousandths: int) -> float:
        """Microseconds."""
        return self._between(candidate, "direct", thousandths, self.rounds)

    def added_of_all(self, candidate: str, thousandths: int) -> float:
        """Between the percentiles of all messages of all rounds, in microseconds."""
        ours, theirs = (
            percentile([self._samples[name][number] for number in self.rounds], thousandths) for name in (candidate, "direct"))
        return ours - theirs

    def added_spread(self, candidate: str, thousandths: int) -> bootstrap.Spread:
        return self._spread(lambda drawn: self._between(candidate, "direct", thousandths, drawn))

    def difference_spread(self, candidate: str, others: list[str], thousandths: int) -> bootstrap.Spread:
        """Of how much more one candidate adds than the best of the others, whoever that is; less, where it is negative."""
        return self._spread(lambda drawn: max(self._between(candidate, other, thousandths, drawn) for other in others))

    def _spread(self, figure: Callable[[list[int]], float]) -> bootstrap.Spread:
        return bootstrap.spread(
            self._turns, lambda drawn: figure([number for one in drawn for number in self._turns[one]]))

    def _between(self, candidate: str, other: str, thousandths: int, rounds: list[int]) -> float:
        """The rounds may repeat, and are the same for both."""
        ours, theirs = (
            statistics.median(self._of[name][number][thousandths] for number in rounds) for name in (candidate, other))
        return ours - theirs
