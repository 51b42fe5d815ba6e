"""Two runs held against each other: whether a benchmark that is run again finds the same."""

import re

from . import targets
from .bootstrap import agreement, agreements_text

HEADINGS = ["work", "one run", "the next", "spreads"]


def table(earlier: dict, later: dict) -> tuple[list[str], list[list[str]]]:
    """The targets of both, row by row: figures with their spreads, and whether the spreads overlap. What was measured once in a
    run has no spread."""
    before = {row.title: row for row in targets.rows(earlier)}
    return HEADINGS, [
        [row.title, figure(before[row.title]), figure(row), agreement(before[row.title].bounds, row.bounds)]
        for row in targets.rows(later) if row.title in before]


def figure(row: targets.Row) -> str:
    return f"{row.value} ({row.spread})" if row.spread else row.value


def has_same_settings(earlier: dict, later: dict) -> bool:
    """Whether everybody was given the same, but for the directory of the run."""

    def given(results: dict) -> dict:
        return {
            table: {name: re.sub(r"sidecar-bench-\w+", "", text) for name, text in files.items()}
            for table, files in results["settings"].items()}

    return given(earlier) == given(later)


def summary_text(rows: list[list[str]]) -> str:
    return f"{agreements_text(rows, -1)}."
