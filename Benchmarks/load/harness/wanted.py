"""What the command line asks a run for."""

import fnmatch

from . import growth, memory
from .candidates import FLOORS, PEERS, Programs
from .works import FEW_ROUNDS, FULL, QUICK, Work


class Wanted:
    """Tables, works and candidates, by the options."""

    def __init__(self, options, programs: Programs):
        self._globs = options.work
        self._is_quick = options.quick
        self._candidates = options.candidates
        self._more_sidecars = [name for name, _ in programs.more_sidecars]

    @property
    def is_everything(self) -> bool:
        return not self._globs and not self._is_quick

    def table(self, table: str) -> bool:
        return bool(self.works(table)) or any(self.other(table, kind) for kind in ("memory", "growth", "checks"))

    def other(self, table: str, kind: str) -> bool:
        """Whether what is not a work is: if it is asked for by name, or if nothing is. With mutual TLS there is only memory."""
        if table != "clear" and kind != "memory":
            return False
        return self._named(table, kind) if self._globs else not self._is_quick

    def memory(self, table: str, number: int) -> bool:
        """Whether it is measured in this round."""
        return self.other(table, "memory") and number < (1 if self._is_quick else memory.ROUNDS)

    def growth(self, table: str, number: int) -> bool:
        """Whether it is measured in this round."""
        return self.other(table, "growth") and (bool(self._globs) or number < growth.ROUNDS)

    def works(self, table: str) -> list[Work]:
        chosen = FULL if self._globs or not self._is_quick else QUICK
        return [work for work in chosen if not self._globs or self._named(table, work.name)]

    def works_of_round(self, table: str, number: int) -> list[Work]:
        """What is asked for by name is in each, with all that it has."""
        chosen = self.works(table)
        if self._globs:
            return chosen
        return [
            work if work.has_target else work.without_floors() for work in chosen
            if work.is_in_every_round or number < FEW_ROUNDS]

    def candidates(self) -> list[str]:
        if self._candidates:
            return [name for name in self._candidates.split(",") if name != "direct"]
        return ["sidecar", *self._more_sidecars, *PEERS, *FLOORS]

    def _named(self, table: str, name: str) -> bool:
        return any(fnmatch.fnmatch(f"{table}/{name}", one) for one in self._globs)
