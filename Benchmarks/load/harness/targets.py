"""The targets that the design sets, row by row, and what a run says to each: met or not, against whom, by how much, and
where not, how much the floor would leave."""

import dataclasses
import statistics

from . import summary, works
from .candidates import PEERS


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    target: str
    value: str
    spread: str
    against: str
    is_met: bool
    limit: str = ""
    """What the floor reaches against the same peer, where the target is not met."""


RATIOS = {
    "clear": {
        1.4: ("pingpong-64x64", "pingpong-64x4096"),
        2.0: ("bulk-1-up", "bulk-1-down", "bulk-16-up", "bulk-16-down"),
        1.2: ("connect",)},
    "mtls": {
        1.6: ("pingpong-64x64", "pingpong-64x4096"),
        1.3: ("bulk-1-up", "bulk-1-down", "bulk-16-up", "bulk-16-down"),
        1.2: ("connect",)}}
"""Work per proxy-CPU-second against the best peer."""

WHERE = {"clear": "clear", "mtls": "mTLS pair"}
PERCENTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
PROCESS_LIMITS = {"residentBytes": ("resident", 16), "anonymousBytes": ("anonymous", 2.5)}
"""MiB of an idle process."""
CONNECTION_LIMITS = {"clear": 1, "mtls": 12}
"""KiB of an idle connection."""


def rows(results: dict) -> list[Row]:
    """Those that the run has measured."""
    return [*ratio_rows(results["samples"]), *latency_rows(results["samples"]), *memory_rows(results["memory"])]


def ratio_rows(samples: list[dict]) -> list[Row]:
    found = []
    for table, of_table in RATIOS.items():
        for wanted, names in of_table.items():
            for name in names:
                ours = summary.ratio(samples, table, name, summary.per_cpu_second)
                if ours is None:
                    continue
                peer, ratio = ours
                is_met = ratio.of_medians >= wanted
                found.append(Row(
                    title=f"{WHERE[table]}: {works.named(name).title}", target=f"≥ {wanted}×",
                    value=f"{ratio.of_medians:.2f}×", spread=f"{ratio.low:.2f}–{ratio.high:.2f}", against=peer,
                    is_met=is_met, limit="" if is_met else floor_text(samples, table, name)))
    return found


def floor_text(samples: list[dict], table: str, name: str) -> str:
    """The best floor against the best peer."""
    reached = [
        summary.ratio(samples, table, name, summary.per_cpu_second, floor)[1].of_medians
        for floor in works.named(name).floors if summary.rounds_of(samples, table, name, floor)]
    return f"{max(reached):.2f}×" if reached else ""


def latency_rows(samples: list[dict]) -> list[Row]:
    """Added latency at a fixed rate: the lowest of all wins."""
    found = []
    work = works.LATENCY
    for table, where in WHERE.items():
        for name, label in PERCENTILES.items():
            added = {
                candidate: list(values.values()) for candidate in ("sidecar", *PEERS)
                if (values := summary.added_latency(samples, table, work.name, candidate, name))}
            if "sidecar" not in added or len(added) < 2:
                continue
            medians = {candidate: statistics.median(values) for candidate, values in added.items()}
            peer = min((one for one in medians if one != "sidecar"), key=medians.get)
            found.append(Row(
                title=f"{where}: added latency, {label}", target="lowest", value=f"{medians['sidecar']:.0f} µs",
                spread=f"{min(added['sidecar']):.0f}–{max(added['sidecar']):.0f}",
                against=f"{peer} {medians[peer]:.0f} µs", is_met=medians["sidecar"] <= medians[peer]))
    return found


def memory_rows(memory: list[dict]) -> list[Row]:
    found = []
    processes = {one["candidate"]: one for one in memory if one["kind"] == "process"}
    if "sidecar" in processes:
        for key, (label, wanted) in PROCESS_LIMITS.items():
            found.append(absolute(
                f"idle process, {label}", "MiB", wanted, {name: one[key] / 2**20 for name, one in processes.items()}))
    for table, wanted in CONNECTION_LIMITS.items():
        each = {
            one["candidate"]: one["bytesPerConnection"] / 1024
            for one in memory if one["kind"] == "connection" and one["table"] == table}
        if "sidecar" in each:
            found.append(absolute(f"{WHERE[table]}: one of 2,000 idle connections", "KiB", wanted, each))
    return found


def absolute(title: str, unit: str, wanted: float, values: dict[str, float]) -> Row:
    peers = ", ".join(f"{name} {value:.1f}" for name, value in values.items() if name != "sidecar")
    return Row(
        title=title, target=f"≤ {wanted:g} {unit}", value=f"{values['sidecar']:.2f} {unit}", spread="", against=peers,
        is_met=values["sidecar"] <= wanted)
