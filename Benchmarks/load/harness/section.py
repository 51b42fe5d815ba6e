"""All that is measured at one place: the works of a table, and what else belongs to it."""

import fnmatch

from . import checks, growth, memory, processes, rounds, works
from .candidates import FLOORS, PEERS, Candidate, Ports, Programs, Starter, takes_part
from .places import Place, host


class Wanted:
    """What the command line asks for."""

    def __init__(self, options, programs: Programs):
        self._globs = options.work
        self._is_quick = options.quick
        self._candidates = options.candidates
        self._more_sidecars = [name for name, _ in programs.more_sidecars]

    def table(self, table: str) -> bool:
        return bool(self.works(table)) or any(self.other(table, kind) for kind in ("memory", "growth", "checks"))

    def other(self, table: str, kind: str) -> bool:
        """Whether what is not a work is: if it is asked for by name, or if nothing is."""
        if self._globs:
            return self._named(table, kind)
        return not self._is_quick and (table == "clear" or kind == "memory")

    def works(self, table: str) -> list[works.Work]:
        chosen = works.FULL if self._globs or not self._is_quick else works.QUICK
        return [work for work in chosen if not self._globs or self._named(table, work.name)]

    def candidates(self) -> list[str]:
        if self._candidates:
            return [name for name in self._candidates.split(",") if name != "direct"]
        return ["sidecar", *self._more_sidecars, *PEERS, *FLOORS]

    def _named(self, table: str, name: str) -> bool:
        return any(fnmatch.fnmatch(f"{table}/{name}", one) for one in self._globs)


class Section:
    """A table. Its rounds are apart in time, with those of the other tables between them, and candidates are started anew
    for each: a minute in which the machine is slow, and a process that happened to start well, are in one round only."""

    def __init__(self, table: str, place: Place, wanted: Wanted, programs: Programs, ports: Ports, load: rounds.Load,
                 proxy_core: int, results: dict, note):
        self.table = table
        self._place = place
        self._wanted = wanted
        self._programs = programs
        self._ports = ports
        self._load = load
        self._proxy_core = proxy_core
        self._results = results
        self._note = note
        self._origin_place = host()
        port = ports.take()
        self._origin = processes.Server(
            "origin", [str(programs.load), "origin", "--listen", f"127.0.0.1:{port}", "--received", str(load.received)], port, {load.core},
            self._origin_place)
        self._starter = Starter(programs, place, {proxy_core}, ports, (port,))

    def close(self) -> None:
        self._origin.stop()
        self._origin_place.close()
        self._place.close()

    def measure_round(self, number: int) -> None:
        """Every work once, and growth where it is its turn."""
        for profile in ("messages", "bulk"):
            # Those that want the same settings, with every candidate running from the first to the last of them.
            chosen = [work for work in self._wanted.works(self.table) if work.profile == profile]
            names = [name for name in self._wanted.candidates() if any(takes_part(name, work) for work in chosen)]
            if chosen:
                with Running(self._starter, names, profile, self.table == "mtls") as present:
                    self._results["settings"].setdefault(self.table, {}).update(self._place.configurations())
                    self._results["samples"] += rounds.measure_round(
                        number, chosen, present, self._origin, self._load, self.table, self._note)
        if self._wanted.other(self.table, "growth") and number % growth.EVERY == 0:
            self._results["growth"] += growth.one_round(self._starter, self._load, number, self._note)

    def rest(self) -> None:
        """What has no rounds, or rounds of its own."""
        proxies = [name for name in self._wanted.candidates() if name in memory.NAMES]
        if self._wanted.other(self.table, "memory"):
            self._note(f"memory, {self.table}")
            if self.table == "clear":
                self._results["memory"] += memory.idle_processes(self._starter, proxies)
            self._results["memory"] += memory.idle_connections(self._starter, proxies, self.table, self._load)
        if self._wanted.other(self.table, "checks"):
            self._check(proxies)

    def _check(self, names: list[str]) -> None:
        servers = checks.Servers(self._place, self._ports, self._load.core)
        try:
            starter = Starter(self._programs, self._place, {self._proxy_core}, self._ports, servers.ports)
            with Running(starter, names, "bulk", False) as present:
                self._results["checks"] += checks.run(present, self._load.core, self._note)
        finally:
            servers.stop()


class Running:
    """The direct path and some candidates, for the length of a block."""

    def __init__(self, starter: Starter, names: list[str], profile: str, mutual_tls: bool):
        self.present: list[Candidate] = [starter.direct()]
        try:
            for name in names:
                self.present.append(starter.start(name, profile, mutual_tls))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> list[Candidate]:
        return self.present

    def __exit__(self, *_) -> None:
        for one in reversed(self.present):
            one.stop()
