"""Two runs held against each other: whether a benchmark that is run again finds the same."""

import re

from . import targets
from .bootstrap import UNKNOWN

HEADINGS = ["work", "one run", "the next", "spreads"]
OVERLAP, APART = "overlap", "apart"


def table(earlier: dict, later: dict) -> tuple[list[str], list[list[str]]]:
    """The targets of both, row by row: figures with their spreads, and whether the spreads overlap. What was measured once in a
    run has no spread."""
    before = {row.title: row for row in targets.rows(earlier)}
    return HEADINGS, [
        [row.title, figure(before[row.title]), figure(row), judged(before[row.title], row)]
        for row in targets.rows(later) if row.title in before]


def figure(row: targets.Row) -> str:
    return f"{row.value} ({row.spread})" if row.spread else row.value


def judged(before: targets.Row, after: targets.Row) -> str:
    if before.bounds in (None, UNKNOWN) or after.bounds in (None, UNKNOWN):
        return ""
    return OVERLAP if before.bounds.overlaps(after.bounds) else APART


def has_same_settings(earlier: dict, later: dict) -> bool:
    """Whether everybody was given the same, but for the directory of the run."""

    def given(results: dict) -> dict:
        return {
            table: {name: re.sub(r"sidecar-bench-\w+", "", text) for name, text in files.items()}
            for table, files in results["settings"].items()}

    return given(earlier) == given(later)


def summary_text(rows: list[list[str]]) -> str:
    spreads = [row[-1] for row in rows if row[-1]]
    return f"{spreads.count(OVERLAP)} of {len(spreads)} spreads overlap."
