"""What a relayed message costs the heap and reference counts: the thresholds of the micro-benchmarks, to which CI holds the
counts (Benchmarks/micro/bench check). They don't depend on the machine, and counting takes a build of its own, so that a run
doesn't count again."""

import json
import pathlib

THRESHOLDS = pathlib.Path(__file__).resolve().parents[2] / "Thresholds"
HOT_PATH = ("Ring-submit-and-complete", "Relay-of-one-message", "TLS-record-of-64-B", "TLS-record-of-16-KiB")
"""The pieces that a message goes through; handshakes aren't among them."""
COUNTED = ("allocations", "retains", "releases")


def hot_path(directory: pathlib.Path = THRESHOLDS) -> dict[str, dict[str, int]]:
    """What each piece may have of each, by the thresholds."""
    found = {}
    for piece in HOT_PATH:
        allowed = json.loads((directory / f"Micro.{piece}.p90.json").read_text())
        found[piece] = {name: allowed[name] for name in COUNTED}
    return found
