"""Runs held against each other: whether a benchmark that is run again finds the same. By two criteria: whether the
spreads overlap, which wide ones do easily, and whether the figure of either run lies within the spread of the other. What is
compared is what decides, as ratios and differences to the best peer of each run: what a proxy adds to latency at p99.9 goes by
the machine's quarter of an hour, for everybody alike. Figures are compared as they are shown, so that a single page of memory
makes no difference. And what the rounds of all, as those of a single run, come to: a verdict that changes from one run to the
next wants more rounds."""

import functools
import itertools
import re

from . import BenchmarkFailure, targets, works
from .bootstrap import UNKNOWN, Spread, agreement, agreements_text

HEADINGS = ["work", "one run", "the next", "spreads", "figures within the other's", "met", "all together", "met together"]
SPREADS, FIGURES, VERDICTS, TOGETHER = 3, 4, 5, 6
"""Columns."""
OF_THE_RUN = re.compile(r'sidecar-bench-\w+|(?<=127\.0\.0\.1:)\d+|(?<=route)\d+|(?<="target)\d+|(?<="port_value": )\d+')
BOTH, FIRST, NEXT, NEITHER = "both", "the first's", "the next one's", "neither"


def table(*runs: dict) -> tuple[list[str], list[list[str]]]:
    """The targets of the last two, row by row: figures with their spreads, and by each criterion whether they agree; and of all."""
    *_, earlier, later = runs
    are_comparable = all(is_comparable(one, later) for one in runs)
    pooled = {row.title: row for row in targets.rows(functools.reduce(together, runs))} if are_comparable else {}
    return HEADINGS, [
        compared(before, row) + together_cells(pooled.get(row.title))
        for before, row in in_common(targets.rows(earlier), targets.rows(later))]


def in_common(earlier: list[targets.Row], later: list[targets.Row]) -> list[tuple[targets.Row, targets.Row]]:
    before = {row.title: row for row in earlier}
    return [(before[row.title], row) for row in later if row.title in before]


def pairs_text(*runs: dict) -> str:
    """Of every two runs, not only of one right after the other, how many spreads overlap; nothing where there are but two."""
    if len(runs) < 3:
        return ""
    found = []
    for earlier, later in itertools.combinations([targets.rows(run) for run in runs], 2):
        found.append(agreements_text([compared(*rows) for rows in in_common(earlier, later)], SPREADS))
    in_order = sorted(set(found), key=found.count, reverse=True)
    counts = ", ".join(f"{text} in {found.count(text)}" for text in in_order)
    return f"Of the {len(found)} pairs of these {len(runs)} runs: {counts}."


def is_comparable(earlier: dict, later: dict) -> bool:
    """Whether both are of the same programs, measured in the same way on the same kind of machine; but for the number of rounds."""

    def conditions(results: dict) -> list:
        options = {name: value for name, value in results["options"].items() if name not in ("seed", "rounds")}
        return [options, *(results[kind] for kind in ("builds", "versions", "machine"))]

    return conditions(earlier) == conditions(later) and has_same_settings(earlier, later)


def together(earlier: dict, later: dict) -> dict:
    """Two as one run, the rounds of the second behind those of the first, and as even or odd as they are."""
    kinds = ("samples", "memory", "growth")
    behind = works.LATENCY.turns * (1 + max((one["round"] for kind in kinds for one in earlier[kind]), default=0))
    moved = {kind: [{**one, "round": one["round"] + behind} for one in later[kind]] for kind in kinds}
    return {**later, **{kind: earlier[kind] + moved[kind] for kind in kinds}}


def together_cells(row: targets.Row | None) -> list[str]:
    return [figure(row), row.verdict] if row else ["", ""]


def check_order(*runs: dict) -> None:
    """A run held against itself agrees with it."""
    for earlier, later in itertools.pairwise(runs):
        if earlier["begun"] >= later["begun"]:
            raise BenchmarkFailure(
                f"the run that began at {later['begun']} isn't later than that of {earlier['begun']}; --compare wants other runs "
                "than that of the results, the oldest first")


def compared(before: targets.Row, after: targets.Row) -> list[str]:
    spreads = [row.bounds.rounded(row.digits) if row.bounds not in (None, UNKNOWN) else None for row in (before, after)]
    verdicts = before.verdict if before.verdict == after.verdict else f"{before.verdict}, then {after.verdict}"
    return [after.title, figure(before), figure(after), agreement(*spreads), within(before, after, *spreads), verdicts]


def figure(row: targets.Row) -> str:
    return f"{row.value} ({row.spread})" if row.spread else row.value


def within(before: targets.Row, after: targets.Row, first: Spread | None, second: Spread | None) -> str:
    """Which of two figures lies within the other's spread."""
    if first is None or second is None:
        return ""
    is_first = second.contains(round(before.figure, before.digits))
    is_next = first.contains(round(after.figure, after.digits))
    return BOTH if is_first and is_next else FIRST if is_first else NEXT if is_next else NEITHER


def has_same_settings(earlier: dict, later: dict) -> bool:
    """Whether everybody was given the same, but for the directory of the run and its ports, which go by the order of starts."""

    def given(results: dict) -> dict:
        return {
            table: {name: OF_THE_RUN.sub("", text) for name, text in files.items()}
            for table, files in results["settings"].items()}

    return given(earlier) == given(later)


def summary_text(rows: list[list[str]], *runs: dict) -> str:
    """Of the last two, whose table it is, and of all pairs where there are more."""
    found = [row[FIGURES] for row in rows if row[FIGURES]]
    first, second = (sum(cell in (BOTH, one) for cell in found) for one in (FIRST, NEXT))
    of_these = (
        f"{agreements_text(rows, SPREADS)} in these two. Of {len(found)} figures {first} of the first one's lie within the next "
        f"one's spread, and {second} of the next one's within the first's.")
    return f"{of_these} {pairs_text(*runs)}".rstrip()
