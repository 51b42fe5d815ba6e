"""All that is measured at one place: the works of a table, and what else belongs to it."""

from . import checks, growth, memory, processes, rounds
from .candidates import Candidate, Ports, Programs, Starter, takes_part
from .places import Place, host
from .wanted import Wanted

PROFILES = ("messages", "bulk")
"""What works want the proxies to be set for, in the order in which they are measured."""


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
        try:
            self._origin = processes.Server(
                "origin",
                [str(programs.load), "origin", "--listen", f"127.0.0.1:{port}", "--received", str(load.received)],
                port, {load.core}, self._origin_place)
        except BaseException:
            self._origin_place.close()
            raise
        self._starter = Starter(programs, place, {proxy_core}, ports, (port,))

    def close(self) -> None:
        self._origin.stop()
        self._origin_place.close()

    def measure_round(self, number: int) -> None:
        """What is in this round of the works, memory, and what grows."""
        for profile in PROFILES:
            # Those that want the same settings, with every candidate running from the first to the last of them.
            chosen = [work for work in self._wanted.works_of_round(self.table, number) if work.profile == profile]
            names = [
                name for name in self._wanted.candidates()
                if any(takes_part(name, work, self.table) for work in chosen)]
            if chosen:
                with Running(self._starter, names, profile, self.table == "mtls") as present:
                    self._results["settings"].setdefault(self.table, {}).update(self._place.configurations())
                    self._results["samples"] += rounds.measure_round(
                        number, chosen, present, self._origin, self._load, self.table, self._note)
        if self._wanted.memory(self.table, number):
            self._results["memory"] += memory.one_round(
                self._starter, self._proxies, self.table, self._load, number, self._note)
        if self._wanted.growth(self.table, number):
            self._results["growth"] += growth.one_round(self._starter, self._load, number, self._note)

    def rest(self) -> None:
        """What has rounds of its own."""
        if self._wanted.other(self.table, "checks"):
            self._check(self._proxies)

    @property
    def _proxies(self) -> list[str]:
        """Those without floors and further builds."""
        return [name for name in self._wanted.candidates() if name in memory.NAMES]

    def _check(self, names: list[str]) -> None:
        servers = checks.Servers(self._place, self._ports, self._load.core)
        try:
            starter = Starter(self._programs, self._place, {self._proxy_core}, self._ports, servers.ports)
            for profile in PROFILES:
                with Running(starter, names, profile, False) as present:
                    self._results["checks"] += checks.run(profile, present, self._load.core, self._note)
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
