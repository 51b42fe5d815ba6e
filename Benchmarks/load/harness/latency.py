"""What a candidate adds to the latency of the direct path at a fixed rate.

Each sample has a percentile of its own, and the median of those speaks for the candidate: what 99.9 of 100 messages don't
exceed in a typical sample. Of 700 to 1,000 messages that is the slowest one, which in at least half of such samples is
among the slowest thousandth of all. Samples are no longer than that, and many: about once a second the host, or what else runs
on the machine, takes a core for a millisecond. Where half of the samples have such a pause, their median is the toss of a
coin; and all messages in one heap would let those few pauses be the tail, whoever is measured."""

import statistics

from . import bootstrap, summary

PERCENTILES = {"p50": "p50", "p99": "p99", "p99.9": "p999"}
"""As the tables call them, and as the generator does."""


class Comparison:
    """The candidates at one work, and the rounds in which all of them and the direct path were measured."""

    def __init__(self, samples: list[dict], table: str, work: str):
        self._of = {
            name: summary.rounds_of(samples, table, work, name)
            for name in summary.candidates_of(samples, table, work)}
        self.candidates = [name for name in self._of if name != "direct"] if "direct" in self._of else []
        self.rounds = sorted(set.intersection(*(set(one) for one in self._of.values()))) if self._of else []
        blocks: dict[int, list[int]] = {}
        for number in self.rounds:
            blocks.setdefault(self._of["direct"][number]["block"], []).append(number)
        self._blocks = list(blocks.values())

    def added(self, candidate: str, percentile: str) -> float:
        """Microseconds."""
        return self._between(candidate, "direct", percentile, self.rounds)

    def added_spread(self, candidate: str, percentile: str) -> bootstrap.Spread:
        return bootstrap.spread(self._blocks, lambda drawn: self._between(candidate, "direct", percentile, drawn))

    def difference_spread(self, candidate: str, others: list[str], percentile: str) -> bootstrap.Spread:
        """Of how much more one candidate adds than the best of the others, whoever that is; less, where it is negative."""
        return bootstrap.spread(
            self._blocks,
            lambda drawn: max(self._between(candidate, other, percentile, drawn) for other in others))

    def _between(self, candidate: str, other: str, percentile: str, rounds: list[int]) -> float:
        """The rounds may repeat."""
        measure = summary.percentile(percentile)
        ours, theirs = (
            statistics.median(measure(self._of[name][number]) for number in rounds) for name in (candidate, other))
        return ours - theirs
