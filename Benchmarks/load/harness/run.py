"""One run: the tables of works, then what is not a rate."""

import fnmatch
import pathlib
import sys
import time

from . import checks, growth, memory, processes, report, results, rounds, works
from .candidates import FLOORS, PEERS, Candidate, Ports, Programs, Starter, takes_part
from .machine import cores, enter_own_network
from .places import Place, debian_13, host, make_debian_13

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
TABLES = ("clear", "mtls")


class Run:
    """What the command line asks for, and what was found so far."""

    def __init__(self, options):
        self.options = options
        self.programs = Programs(
            sidecar=REPOSITORY / ".build/release/sidecar-proxy",
            load=REPOSITORY / "Benchmarks/.build/release/sidecar-load",
            floor=REPOSITORY / "Benchmarks/.build/release/relay-floor",
            envoy=REPOSITORY / ".build/tools/envoy",
            allowance=REPOSITORY / "Benchmarks/.build/release/liballowance.so",
            more_sidecars=tuple(
                (name, pathlib.Path(path).resolve()) for name, path in (one.split("=", 1) for one in options.also)))
        self.programs.check()
        self.load_core, self.proxy_core = cores()
        self.ports = Ports(options.first_port)
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.load = rounds.Load(self.programs, self.load_core, options.seconds or (0.3 if options.quick else 0.4))
        self.results: dict = {}

    def everything(self) -> dict:
        """Measures, prints as it goes, and returns the results."""
        if self.is_wanted("mtls") and self.options.tls_root == "debian13":
            make_debian_13()
        begun = time.monotonic()
        own_network = enter_own_network()
        if not own_network:
            print("no network namespace of its own without root: the host's packet filter is part of the figures")
        self.results = results.begin({
            "quick": self.options.quick, "rounds": self.rounds, "seconds": self.load.seconds,
            "tlsRoot": self.options.tls_root, "ownNetwork": own_network, "openFilesMax": growth.open_files_max()})
        for table in TABLES:
            if self.is_wanted(table):
                place = debian_13() if table == "mtls" and self.options.tls_root == "debian13" else host()
                try:
                    self.section(table, place)
                finally:
                    place.close()
        report.print_more(self.results)
        report.print_targets(self.results)
        print(f"\n{report.repeated_text(self.results)}")
        self.results["minutes"] = round((time.monotonic() - begun) / 60, 1)
        return self.results

    # What is wanted

    def is_wanted(self, table: str, kind: str | None = None) -> bool:
        """Whether a table has anything to do, or whether something that is not a rate belongs to this run: it does if it
        is asked for by name, or if nothing is."""
        if kind is None:
            return bool(self.works(table)) or any(
                self.is_wanted(table, one) for one in ("memory", "growth", "checks"))
        if self.options.work:
            return any(fnmatch.fnmatch(f"{table}/{kind}", one) for one in self.options.work)
        return not self.options.quick and (table == "clear" or kind == "memory")

    def works(self, table: str) -> list[works.Work]:
        chosen = works.FULL if self.options.work or not self.options.quick else works.QUICK
        return [
            work for work in chosen
            if not self.options.work or any(fnmatch.fnmatch(f"{table}/{work.name}", one) for one in self.options.work)]

    def candidates(self, table: str) -> list[str]:
        if self.options.candidates:
            return [name for name in self.options.candidates.split(",") if name != "direct"]
        return ["sidecar", *(name for name, _ in self.programs.more_sidecars), *PEERS, *FLOORS]

    # Sections

    def section(self, table: str, place: Place) -> None:
        """All that is measured at one place."""
        self.results["versions"][table] = results.versions(self.programs, place)
        own_place = host()
        origin_port = self.ports.take()
        origin = processes.Server(
            "origin", [str(self.programs.load), "origin", "--listen", f"127.0.0.1:{origin_port}"], origin_port,
            {self.load_core}, own_place)
        starter = Starter(self.programs, place, {self.proxy_core}, self.ports, (origin_port,))
        try:
            for profile in ("messages", "bulk"):
                self.profile(table, profile, starter, origin)
            if self.works(table):
                note("")
                report.print_works(self.results["samples"], table, self.works(table))
            proxies = [name for name in self.candidates(table) if name in memory.NAMES]
            if self.is_wanted(table, "memory"):
                note(f"memory, {table}")
                if table == "clear":
                    self.results["memory"] += memory.idle_processes(starter, proxies)
                self.results["memory"] += memory.idle_connections(starter, proxies, table, self.load)
            if table == "clear" and self.is_wanted(table, "growth"):
                rounds_wanted = min(self.rounds, growth.ROUNDS_MAX)
                self.results["growth"] += growth.connections(starter, self.load, rounds_wanted, note)
                self.results["growth"] += growth.workers(starter, self.load, rounds_wanted, note)
            if table == "clear" and self.is_wanted(table, "checks"):
                self.checks(proxies, place)
            self.results["settings"][table] = place.configurations()
        finally:
            origin.stop()
            own_place.close()

    def profile(self, table: str, profile: str, starter: Starter, origin: processes.Server) -> None:
        """The works that want the same settings, with every candidate running from the first to the last of them."""
        chosen = [work for work in self.works(table) if work.profile == profile]
        names = [name for name in self.candidates(table) if any(takes_part(name, work) for work in chosen)]
        if chosen:
            with Running(starter, names, profile, table == "mtls") as present:
                self.results["samples"] += rounds.run(
                    chosen, present, origin, self.rounds, self.load, table, note)

    def checks(self, names: list[str], place: Place) -> None:
        servers = checks.Servers(place, self.ports, self.load_core)
        try:
            starter = Starter(self.programs, place, {self.proxy_core}, self.ports, servers.ports)
            with Running(starter, names, "bulk", False) as present:
                self.results["checks"] += checks.run(present, self.load_core, note)
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


def note(text: str) -> None:
    """Progress, on one line that is written over and over; for somebody who watches."""
    if sys.stderr.isatty():
        print(f"\r{text:70}", end="", file=sys.stderr, flush=True)
