"""What memory.py found, as figures: the sizes of each candidate, by round."""

import dataclasses
import statistics
from collections.abc import Callable

from . import bootstrap, summary


@dataclasses.dataclass(frozen=True)
class Size:
    """Of one candidate. In MiB of a process, in KiB of a connection."""

    rounds: dict[int, float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds.values())

    def spread(self) -> bootstrap.Spread:
        """Of the median."""
        return bootstrap.spread(self.rounds, lambda drawn: statistics.median(self.rounds[number] for number in drawn))

    def text(self, digits: int) -> str:
        """The median, with the lowest and the highest of the rounds."""
        low, high = min(self.rounds.values()), max(self.rounds.values())
        return f"{self.median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def of_processes(found: list[dict], key: str) -> dict[str, Size]:
    """`residentBytes` or `anonymousBytes` of idle processes."""
    return sizes([one for one in found if one["kind"] == "process"], lambda one: one[key] / 2**20)


def of_connections(found: list[dict], table: str) -> dict[str, Size]:
    chosen = [one for one in found if one["kind"] == "connection" and one["table"] == table]
    return sizes(chosen, lambda one: one["bytesPerConnection"] / 1024)


def sizes(chosen: list[dict], measure: Callable[[dict], float]) -> dict[str, Size]:
    names = sorted({one["candidate"] for one in chosen}, key=summary.candidate_order)
    return {name: Size({one["round"]: measure(one) for one in chosen if one["candidate"] == name}) for name in names}
