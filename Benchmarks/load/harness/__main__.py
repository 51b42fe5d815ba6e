"""The command line: what to measure, with whom, how often. Started by Benchmarks/load/bench."""

import argparse
import fnmatch
import pathlib
import sys

from . import BenchmarkFailure, processes, report, rounds, works
from .candidates import FLOORS, PEERS, Ports, Programs, Starter, takes_part
from .machine import cores, enter_own_network
from .places import Place, debian_13, host, make_debian_13

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/load/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer works and rounds: about two minutes")
    parser.add_argument(
        "--work", action="append", metavar="GLOB",
        help="only works such as clear/pingpong-64x64, 'mtls/bulk-*' or '*/connect'; can be repeated")
    parser.add_argument("--candidates", metavar="A,B,…", help="only these, such as sidecar,haproxy (direct is always there)")
    parser.add_argument(
        "--also", action="append", default=[], metavar="NAME=PATH", help="another build of the sidecar to compare")
    parser.add_argument("--rounds", type=int, help="samples of each candidate at each work (default: 5, quick: 3)")
    parser.add_argument("--seconds", type=float, help="length of a sample (default: 0.5, quick: 0.4)")
    parser.add_argument("--tls-root", choices=["debian13", "host"], default="debian13", help="where TLS is measured")
    parser.add_argument("--first-port", type=int, default=20000, help="ports from here on are used, a few hundred of them")
    return parser.parse_args()


class Run:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.programs = Programs(
            sidecar=REPOSITORY / ".build/release/sidecar-proxy",
            load=REPOSITORY / "Benchmarks/.build/release/sidecar-load",
            floor=REPOSITORY / "Benchmarks/.build/release/relay-floor",
            envoy=REPOSITORY / ".build/tools/envoy",
            more_sidecars=tuple(
                (name, pathlib.Path(path).resolve()) for name, path in (one.split("=", 1) for one in options.also)))
        self.load_core, self.proxy_core = cores()
        self.ports = Ports(options.first_port)
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.load = rounds.Load(self.programs, self.load_core, options.seconds or (0.4 if options.quick else 0.5))
        self.own_place = host()
        self.samples: list[dict] = []

    def works(self, table: str) -> list[works.Work]:
        chosen = works.FULL if self.options.work or not self.options.quick else works.QUICK
        return [
            work for work in chosen
            if not self.options.work or any(fnmatch.fnmatch(f"{table}/{work.name}", one) for one in self.options.work)]

    def candidates(self, table: str) -> list[str]:
        if self.options.candidates:
            return [name for name in self.options.candidates.split(",") if name != "direct"]
        # Nobody needs a TLS floor: what counts there is libssl's own work.
        floors = FLOORS if table == "clear" else ()
        return ["sidecar", *(name for name, _ in self.programs.more_sidecars), *PEERS, *floors]

    def section(self, table: str, place: Place) -> None:
        """All works of a table, those that want the same settings together."""
        origin_port, second_port = self.ports.take(), self.ports.take()
        origin = processes.Server(
            "origin", [str(self.programs.load), "origin", "--listen", f"127.0.0.1:{origin_port}"], origin_port,
            {self.load_core}, self.own_place)
        starter = Starter(self.programs, place, {self.proxy_core}, self.ports, origin_port, second_port)
        try:
            for profile in ("messages", "bulk"):
                self.profile(table, profile, starter)
        finally:
            origin.stop()
        if self.works(table):
            report.print_works(self.samples, table, self.works(table))

    def profile(self, table: str, profile: str, starter: Starter) -> None:
        """The works that want the same settings, with every candidate running from the first to the last of them."""
        chosen = [work for work in self.works(table) if work.profile == profile]
        if not chosen:
            return
        present = [starter.direct()]
        try:
            for name in self.candidates(table):
                if any(takes_part(name, work) for work in chosen):
                    present.append(starter.start(name, profile, table == "mtls"))
            self.samples += rounds.run(chosen, present, self.rounds, self.load, table, note)
        finally:
            for one in reversed(present):
                one.stop()

    def everything(self) -> None:
        if self.works("mtls") and self.options.tls_root == "debian13":
            make_debian_13()
        if not enter_own_network():
            note("no network namespace of its own without root: the host's packet filter is measured along\n")
        for table in ("clear", "mtls"):
            if not self.works(table):
                continue
            place = debian_13() if table == "mtls" and self.options.tls_root == "debian13" else host()
            try:
                self.section(table, place)
            finally:
                place.close()


def note(text: str) -> None:
    print(f"\r{text:70}", end="", file=sys.stderr, flush=True)


def main() -> int:
    try:
        processes.raise_descriptor_limit()
        Run(arguments()).everything()
    except BenchmarkFailure as failure:
        print(f"\nbench: {failure}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
