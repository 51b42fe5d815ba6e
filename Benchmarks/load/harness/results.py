"""Everything that a run found, as JSON: enough to make the tables, charts and the page from it, and to judge them."""

import datetime
import hashlib
import json
import pathlib
import subprocess

from . import BenchmarkFailure, machine
from .candidates import Programs
from .places import Place

FORMAT = 10
"""Another one as well where something else is measured, or for another time, so that what can't be held together isn't."""
HASH_DIGITS = 12


def begin(options: dict, programs: Programs) -> dict:
    """An empty result: when, where, what and how it was measured."""
    return {
        "format": FORMAT,
        "begun": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "options": options,
        "machine": machine.description(),
        "checkout": checkout(),
        "builds": builds(programs),
        "versions": {},
        "settings": {},
        "samples": [],
        "memory": [],
        "growth": [],
        "checks": [],
        "counts": {},
    }


def checkout() -> str:
    """What the harness and its settings are of. The binaries may be older (SIDECAR_BENCH_BUILD=no)."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True)
    return described.stdout.strip() or "no repository"


def builds(programs: Programs) -> dict[str, str]:
    """What was built from this repository, by the beginning of each file's SHA-256."""
    paths = {path.name: path for path in (programs.sidecar, programs.load, programs.floor)} | dict(programs.more_sidecars)
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_DIGITS] for name, path in paths.items()}


def versions(programs: Programs, place: Place) -> dict[str, str]:
    """Of everybody, as they are at a place."""

    def first_line(program: str, *arguments: str) -> str:
        return place.output([program, *arguments]).splitlines()[0]

    # "/path/of/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL"
    envoy = place.output([place.bring(programs.envoy), "--version"]).split("version: ")[-1].split("/")
    return {
        "sidecar": first_line(place.bring(programs.sidecar), "version"),
        "haproxy": first_line(place.program("haproxy"), "-v").split()[2],
        "nginx": first_line(place.program("nginx"), "-e", "stderr", "-v").rsplit("/", 1)[1],
        "envoy": envoy[1],
        "openssl": first_line(place.program("openssl"), "version").split()[1],
    }


def save(results: dict, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not indented: every number of a histogram would have a line of its own.
    path.write_text(json.dumps(results) + "\n")


def load(path: pathlib.Path) -> dict:
    if not path.exists():
        raise BenchmarkFailure(f"there is no {path}: `make bench` writes it")
    results = json.loads(path.read_text())
    if results.get("format") != FORMAT:
        raise BenchmarkFailure(f"{path} has another format than this version of the benchmark writes")
    return results
