"""One run: the tables of works in rounds, then what is not a rate."""

import contextlib
import pathlib
import sys
import tempfile
import time

from . import counts, growth, results, rounds
from .candidates import Ports, Programs
from .machine import can_stay_awake, cores, enter_own_network
from .places import debian_13, host, make_debian_13
from .section import Section
from .wanted import Wanted

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
TABLES = ("clear", "mtls")
ROUNDS, QUICK_ROUNDS = 6, 5
SECONDS, QUICK_SECONDS = 0.2, 0.15
"""Of a sample."""


class Run:
    """What the command line asks for, and what was found so far."""

    def __init__(self, options):
        self.options = options
        self.programs = Programs(
            sidecar=REPOSITORY / ".build/release/sidecar-proxy",
            load=REPOSITORY / "Benchmarks/.build/release/sidecar-load",
            floor=REPOSITORY / "Benchmarks/.build/release/relay-floor",
            envoy=REPOSITORY / ".build/tools/envoy",
            more_sidecars=tuple(
                (name, pathlib.Path(path).resolve()) for name, path in (one.split("=", 1) for one in options.also)))
        self.programs.check()
        self.wanted = Wanted(options, self.programs)
        load_core, self.proxy_core = cores()
        self.ports = Ports(options.first_port)
        self.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
        self._directory = tempfile.TemporaryDirectory(prefix="sidecar-bench-")
        self.load = rounds.Load(
            self.programs, load_core, options.seconds or (QUICK_SECONDS if options.quick else SECONDS),
            received=pathlib.Path(self._directory.name, "received"))
        self.results: dict = {}

    def everything(self) -> dict:
        """Measures, and returns the results."""
        in_debian_13 = self.options.tls_root == "debian13"
        if self.wanted.table("mtls") and in_debian_13:
            make_debian_13()
        begun = time.monotonic()
        rounds.seed = time.time_ns()
        own_network = enter_own_network()
        if not own_network:
            print("no network namespace of its own without root: the host's packet filter is part of the figures")
        if not can_stay_awake():
            print("the proxies' core can't be kept from halting without root and cpuidle: how the host wakes it is part of latency")
        self.results = results.begin({
            "quick": self.options.quick, "seed": rounds.seed, "rounds": self.rounds, "seconds": self.load.seconds,
            "tlsRoot": self.options.tls_root, "ownNetwork": own_network, "canStayAwake": can_stay_awake(),
            "openFilesMax": growth.open_files_max()},
            self.programs)
        with contextlib.ExitStack() as stack:
            sections = []
            for table in filter(self.wanted.table, TABLES):
                place = debian_13() if table == "mtls" and in_debian_13 else host()
                stack.callback(place.close)
                section = Section(
                    table, place, self.wanted, self.programs, self.ports, self.load, self.proxy_core, self.results, note)
                stack.callback(section.close)
                sections.append(section)
                self.results["versions"][table] = results.versions(self.programs, place)
            for number in range(self.rounds):
                for section in sections:
                    section.measure_round(number)
            for section in sections:
                section.rest()
        if self.wanted.is_everything:
            self.results["counts"] = counts.hot_path()
        note("")
        self.results["minutes"] = round((time.monotonic() - begun) / 60, 1)
        return self.results


def note(text: str) -> None:
    """Progress, on one line that is written over and over; for somebody who watches."""
    if sys.stderr.isatty():
        print(f"\r{text:70}", end="", file=sys.stderr, flush=True)
