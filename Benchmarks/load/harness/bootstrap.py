"""How far a figure can be trusted that comes from some rounds: the spread of the same figure from rounds drawn anew.

The rounds of a run are drawn with replacement, as many as there were, the same ones for every candidate of a comparison,
and the figure is computed from those, some thousand times. What hits all candidates of a round alike cancels out of such figures;
a single bad round widens their range, and is not left out. With so few rounds the middle 95 per cent of them would be too narrow
an interval of confidence, so that more of them belong to the spread, as a t-quantile is more than the normal one: the expanded
percentile interval (Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69:4, 2015). No drawing
goes beyond the lowest and the highest round: of a lone median of five these hold the true one 15 times of 16, of six 31 of 32."""

import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Iterable

RESAMPLES = 4_000
CONFIDENCE = 0.95
NORMAL = statistics.NormalDist()
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
    left_out = int(RESAMPLES * part_left_out(len(rounds)))
    return Spread(figures[left_out], figures[-left_out - 1])


def part_left_out(rounds: int) -> float:
    """At either end: of five rounds a thousandth, of very many a fortieth."""
    return NORMAL.cdf(-math.sqrt(rounds / (rounds - 1)) * t_quantile(rounds - 1))


def t_quantile(freedom: int) -> float:
    """Student's, for `CONFIDENCE` on both sides: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5. Within a
    thirtieth for two degrees of freedom, within a hundredth for four and more."""
    normal = NORMAL.inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (normal**3 + normal) / 4, (5 * normal**5 + 16 * normal**3 + 3 * normal) / 96,
        (3 * normal**7 + 19 * normal**5 + 17 * normal**3 - 15 * normal) / 384)
    return normal + sum(term / freedom**power for power, term in enumerate(terms, start=1))
