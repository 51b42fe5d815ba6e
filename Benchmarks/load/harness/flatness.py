"""What growth.py found, as figures: costs step by step, and the last step of each against its first."""

import dataclasses
import statistics
from collections.abc import Callable

from . import bootstrap

MEMORY_FROM = 1_000
"""Fewer connections don't outweigh the pages that one start of a process has more than another."""


@dataclasses.dataclass(frozen=True)
class Series:
    """One cost of one candidate over the steps of one kind of growth, each step by round."""

    steps: dict[tuple[int, int], dict[int, float]]
    """By connections and workers. CPU in microseconds, memory in bytes."""

    def median(self, step: tuple[int, int]) -> float:
        return statistics.median(self.steps[step].values())

    def growth(self, first: tuple[int, int] | None = None) -> tuple[float, bootstrap.Spread]:
        """The last step against the first one or the one given, each round by itself: a candidate takes its steps one right
        after the other, so that a machine which is slow in some rounds cancels out."""
        ordered = sorted(self.steps)
        from_, to = (self.steps[step] for step in (first or ordered[0], ordered[-1]))
        rounds = sorted(from_.keys() & to.keys())

        def median_of(drawn: list[int]) -> float:
            return statistics.median(to[number] / from_[number] for number in drawn)

        return median_of(rounds), bootstrap.spread(rounds, median_of)


def cpu(samples: list[dict], candidate: str, kind: str, work: str) -> Series:
    """Per round trip or new connection."""
    return series(
        samples, candidate, kind, work, lambda sample: sample["cpuSeconds"] / sample["count"] * 1e6)


def memory(samples: list[dict], candidate: str) -> Series:
    """What each connection beyond the first adds to anonymous memory, all of them busy."""
    single = {
        one["round"]: one["anonymousBytes"]
        for one in samples if one["kind"] == "busy" and one["candidate"] == candidate and one["connections"] == 1}
    many = [one for one in samples if one["connections"] >= MEMORY_FROM and one["round"] in single]
    return series(
        many, candidate, "busy", "round trip",
        lambda sample: (sample["anonymousBytes"] - single[sample["round"]]) / (sample["connections"] - 1))


def series(samples: list[dict], candidate: str, kind: str, work: str, cost: Callable[[dict], float]) -> Series:
    """Of a step that a round has taken twice the mean."""
    steps: dict[tuple[int, int], dict[int, list[float]]] = {}
    for one in samples:
        if (one["kind"], one["work"], one["candidate"]) == (kind, work, candidate):
            rounds = steps.setdefault((one["connections"], one["workers"]), {})
            rounds.setdefault(one["round"], []).append(cost(one))
    return Series({
        step: {number: statistics.fmean(costs) for number, costs in rounds.items()} for step, rounds in steps.items()})
