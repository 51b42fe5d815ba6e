"""How far a figure can be trusted that comes from some rounds: the spread of the same figure from rounds drawn anew.

The rounds of a run are drawn with replacement, as many as there were, the same ones for every candidate of a comparison,
and the figure is computed from those. Ninety-five per cent of a thousand such figures are its spread. What hits all candidates
of a round alike cancels out of it; a single bad round widens it, and is not left out. With so few rounds it is narrower than its
name says: of a lone median of six it is about the second to the fifth, which holds the true one three times of four."""

import dataclasses
import math
import random
from collections.abc import Callable, Iterable

RESAMPLES = 1_000
PARTS_LEFT_OUT = 40
"""A fortieth of the figures at either end."""
ROUNDS_MIN = 3
"""Fewer tell nothing of a spread."""


@dataclasses.dataclass(frozen=True)
class Spread:
    low: float
    high: float

    def overlaps(self, other: "Spread") -> bool:
        return self.low <= other.high and other.low <= self.high

    def contains(self, figure: float) -> bool:
        return self.low <= figure <= self.high

    def rounded(self, digits: int) -> "Spread":
        return Spread(round(self.low, digits), round(self.high, digits))

    def text(self, pattern: str) -> str:
        """By a pattern for both ends."""
        return "unknown" if self == UNKNOWN else pattern.format(self.low, self.high)


UNKNOWN = Spread(-math.inf, math.inf)

OVERLAP, APART = "overlap", "apart"


def agreement(first: Spread | None, second: Spread | None) -> str:
    """Whether two spreads tell the same; nothing where one of them isn't known."""
    if first in (None, UNKNOWN) or second in (None, UNKNOWN):
        return ""
    return OVERLAP if first.overlaps(second) else APART


def agreements_text(rows: list[list[str]], column: int) -> str:
    """Of the rows of a table, how many agree."""
    found = [row[column] for row in rows if row[column]]
    return f"{found.count(OVERLAP)} of {len(found)} spreads overlap"


def spread(rounds: Iterable[int], figure: Callable[[list[int]], float]) -> Spread:
    """`figure` is told which rounds to use, some of them more than once. The drawing is the same in each run, so that a table
    made twice from one set of results is the same twice."""
    rounds = sorted(rounds)
    if len(rounds) < ROUNDS_MIN:
        return UNKNOWN
    drawing = random.Random(0)
    figures = sorted(figure(drawing.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES))
    left_out = RESAMPLES // PARTS_LEFT_OUT
    return Spread(figures[left_out], figures[-left_out - 1])
