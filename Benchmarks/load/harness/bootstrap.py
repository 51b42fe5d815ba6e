"""How far a figure can be trusted that comes from some rounds: the spread of the same figure from rounds drawn anew.

The rounds of a run are drawn with replacement, as many as there were, the same ones for every candidate of a comparison,
and the figure is computed from those. Ninety-five per cent of a thousand such figures are its spread. What hits all candidates
of a round alike cancels out of it; a single bad round widens it, and is not left out."""

import dataclasses
import random
from collections.abc import Callable, Iterable

RESAMPLES = 1_000
PARTS_LEFT_OUT = 40
"""A fortieth of the figures at either end."""


@dataclasses.dataclass(frozen=True)
class Spread:
    low: float
    high: float


def spread(rounds: Iterable[int], figure: Callable[[list[int]], float]) -> Spread:
    """`figure` is told which rounds to use, some of them more than once. The drawing is the same in each run, so that a
    table made twice from one set of results is the same twice."""
    rounds = sorted(rounds)
    drawing = random.Random(0)
    figures = sorted(figure(drawing.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES))
    left_out = RESAMPLES // PARTS_LEFT_OUT
    return Spread(figures[left_out], figures[-left_out - 1])
