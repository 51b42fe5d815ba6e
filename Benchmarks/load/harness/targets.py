"""The targets that the design sets, row by row, and what a run says to each: whether it is met, against whom, by how much,
and what the floor reaches."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Iterable

from . import bootstrap, counts, flatness, growth, latency, sizes, summary, works
from .bootstrap import Spread
from .candidates import PEERS
from .works import TLS_FLOOR

MET, OPEN, MISSED = "yes", "within the spread", "no"
"""What a row can come to: the whole spread is on the right side of the target, or neither of its ends decides, or the whole
of it is on the wrong side."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    target: str
    value: str
    spread: str
    against: str
    verdict: str
    floor: str = ""
    figure: float | None = None
    """What decides, as a number: the value, or of latency its difference to the best peer's; none for counts."""
    bounds: Spread | None = None
    """The same as `spread`, in the figure's unit."""
    digits: int = 2
    """Of the figure and its spread, as they are shown."""


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
PROCESS_LIMITS = {"residentBytes": ("resident", 16), "anonymousBytes": ("anonymous", 2.5)}
"""MiB of an idle process."""
AROUND, WITHOUT, PARTS = "around libssl", "without TLS", "a handshake between sockets and one relay"
"""What the floors of pairs with mutual TLS are."""
NO_LIMIT = " (not a limit)"
"""Behind a floor that the sidecar or the best peer is ahead of."""
FLAT = 1.1
"""What the last step of a growth may cost against its first."""
CONNECTION_LIMITS = {"clear": 1, "mtls": 12}
"""KiB of an idle connection."""


def rows(results: dict) -> list[Row]:
    """Those that the run has measured."""
    return [
        *ratio_rows(results["samples"]), *latency_rows(results["samples"]), *memory_rows(results["memory"]),
        *growth_rows(results["growth"]), *count_rows(results["counts"])]


def verdict(spread: Spread, target: float, higher_is_better: bool) -> str:
    if higher_is_better:
        return MET if spread.low >= target else MISSED if spread.high < target else OPEN
    return MET if spread.high <= target else MISSED if spread.low > target else OPEN


def ratio_rows(samples: list[dict]) -> list[Row]:
    found = []
    for table, of_table in RATIOS.items():
        for wanted, names in of_table.items():
            for name in names:
                ours = summary.against_best(samples, table, name, summary.per_cpu_second)
                if ours is None:
                    continue
                found.append(Row(
                    title=f"{WHERE[table]}: {works.named(name).title}", target=f"≥ {wanted}×", value=f"{ours.ratio:.2f}×",
                    spread=ours.spread.text("{:.2f}–{:.2f}"), against=ours.peer,
                    verdict=verdict(ours.spread, wanted, higher_is_better=True),
                    floor=floor_text(samples, table, name, ours.ratio), figure=ours.ratio, bounds=ours.spread))
    return found


def floor_text(samples: list[dict], table: str, name: str, ours: float) -> str:
    """The best floor against the best peer. With mutual TLS that is a loop around libssl, for reference, and beside it
    stands the best without TLS, or, where parts of the work are measured, what these come to together."""
    work = works.named(name)
    reached = {
        floor: found for floor in work.floors(table)
        if (found := summary.against_best(samples, table, name, summary.per_cpu_second, floor))}
    around = [found for floor, found in reached.items() if floor == TLS_FLOOR]
    clear = [found for floor, found in reached.items() if floor != TLS_FLOOR]
    texts = []
    for label, found in ((AROUND, around), (WITHOUT if table == "mtls" else "", clear)):
        if found:
            best = max(found, key=lambda one: one.ratio)
            texts.append(ratio_text(best.ratio, best.spread, label, ours))
    if parts := parts_text(samples, table, work, ours):
        texts.append(parts)
    return "; ".join(texts)


def parts_text(samples: list[dict], table: str, work: works.Work, ours: float) -> str:
    """What a pair has to do between its two proxies and what a single relay has to, the cheapest there is, together against
    the best peer, with the spread of that."""
    part = summary.rounds_of(samples, table, work.name, work.part(table))
    relays = [found for name in work.clear_floors if (found := summary.rounds_of(samples, "clear", work.name, name))]
    peers = [found for name in PEERS if (found := summary.rounds_of(samples, table, work.name, name))]
    if not (part and relays and peers):
        return ""

    def cost(found: dict[int, dict], rounds: Iterable[int]) -> float:
        return 1 / statistics.median(summary.per_cpu_second(found[number]) for number in rounds)

    def against_best(rounds: list[int]) -> float:
        together = cost(part, rounds) + min(cost(relay, rounds) for relay in relays)
        return min(cost(peer, rounds) for peer in peers) / together

    rounds = sorted(set(part).intersection(*relays, *peers))
    if not rounds:
        return ""
    return ratio_text(against_best(rounds), bootstrap.spread(rounds, against_best), PARTS, ours)


def ratio_text(ratio: float, spread: Spread, label: str, ours: float) -> str:
    """`ours` is the sidecar's against the same peer. As far as the digits that are shown can tell."""
    return f"{spread_text(ratio, spread)} {label}".strip() + (NO_LIMIT if round(ratio, 2) < max(1, round(ours, 2)) else "")


def spread_text(ratio: float, spread: Spread) -> str:
    return f"{ratio:.2f}×" if spread == bootstrap.UNKNOWN else f"{ratio:.2f}× ({spread.text('{:.2f}–{:.2f}')})"


def latency_rows(samples: list[dict]) -> list[Row]:
    """Added latency at a fixed rate: the lowest of all wins. What decides is the difference to the best peer, from which
    the direct path cancels out; where the percentiles of all messages on one heap say otherwise, nothing is decided."""
    found = []
    for table, where in WHERE.items():
        comparison = latency.Comparison(samples, table, works.LATENCY.name)
        peers = [name for name in PEERS if name in comparison.candidates]
        if "sidecar" not in comparison.candidates or not peers:
            continue
        for label, percentile in latency.PERCENTILES.items():
            added = {name: comparison.added(name, percentile) for name in comparison.candidates}
            peer = min(peers, key=added.get)
            spread = comparison.difference_spread("sidecar", peers, percentile)
            of_all = {name: comparison.added_of_all(name, percentile) for name in ("sidecar", *peers)}
            is_lowest_of_all = of_all["sidecar"] <= min(of_all[name] for name in peers)
            decided = verdict(spread, 0, higher_is_better=False)
            floors = [added[name] for name in works.LATENCY.floors(table) if name in added]
            is_limit = floors and round(min(floors)) <= round(min(added["sidecar"], added[peer]))
            found.append(Row(
                title=f"{where}: added latency, {label}", target="lowest",
                value=f"{added['sidecar']:.0f} µs, {added['sidecar'] - added[peer]:+.0f} to the peer",
                spread=spread.text("{:+.0f} to {:+.0f} µs"),
                against=f"{peer} {added[peer]:.0f} µs (of all messages {of_all['sidecar']:.0f}, {of_all[peer]:.0f})",
                verdict=OPEN if decided == (MISSED if is_lowest_of_all else MET) else decided,
                floor=f"{min(floors):.0f} µs{'' if is_limit else NO_LIMIT}" if floors else "",
                figure=added["sidecar"] - added[peer], bounds=spread, digits=0))
    return found


def memory_rows(memory: list[dict]) -> list[Row]:
    found = [
        absolute(f"idle process, {label}", "MiB", wanted, sizes.of_processes(memory, key))
        for key, (label, wanted) in PROCESS_LIMITS.items()]
    found += [
        absolute(f"{WHERE[table]}: one of 2,000 idle connections", "KiB", wanted, sizes.of_connections(memory, table))
        for table, wanted in CONNECTION_LIMITS.items()]
    return [row for row in found if row]


def absolute(title: str, unit: str, wanted: float, measured: dict[str, sizes.Size]) -> Row | None:
    if "sidecar" not in measured:
        return None
    spread = measured["sidecar"].spread()
    return Row(
        title=title, target=f"≤ {wanted:g} {unit}", value=f"{measured['sidecar'].median:.2f} {unit}",
        spread=spread.text("{:.2f}–{:.2f}"),
        against=", ".join(f"{name} {size.text(1)}" for name, size in measured.items() if name != "sidecar"),
        verdict=verdict(spread, wanted, higher_is_better=False), figure=measured["sidecar"].median,
        bounds=spread)


@dataclasses.dataclass(frozen=True)
class Growth:
    """A cost that has to stay flat."""

    title: str
    series: Callable[[list[dict], str], flatness.Series]
    first: tuple[int, int] | None = None
    """The step that the last one is held against, where it isn't the first: a single connection is dear for another reason."""
    has_floor: bool = True
    """The floor holds nothing per connection: what it adds is noise."""


GROWTHS = [
    Growth("round trip, 64 of the connections busy", functools.partial(flatness.cpu, kind="held", work="round trip")),
    Growth("new connection beside the others", functools.partial(flatness.cpu, kind="held", work="new connection")),
    Growth("round trip, all connections busy", functools.partial(flatness.cpu, kind="busy", work="round trip"), (100, 1)),
    Growth("memory of a connection", flatness.memory, has_floor=False),
    Growth("round trip, by workers", functools.partial(flatness.cpu, kind="workers", work="round trip")),
]


def growth_rows(samples: list[dict]) -> list[Row]:
    """What the last step costs against the first; beside it what it does for a peer and for the floor."""
    found = []
    for growing in GROWTHS:
        names = growth.NAMES if growing.has_floor else ("sidecar", growth.PEER)
        series = {name: growing.series(samples, name) for name in names}
        steps = sorted(series["sidecar"].steps)
        if len(steps) < 2 or growing.first not in (None, *steps):
            continue
        grown = {name: one.growth(growing.first) for name, one in series.items()}
        value, spread = grown["sidecar"]
        found.append(Row(
            title=f"growth: {growing.title}, {steps_text(growing.first or steps[0], steps[-1])}", target=f"≤ {FLAT}×",
            value=f"{value:.2f}×", spread=spread.text("{:.2f}–{:.2f}"),
            against=f"{growth.PEER} {spread_text(*grown[growth.PEER])}", verdict=verdict(spread, FLAT, higher_is_better=False),
            floor=flat_floor_text(grown) if growing.has_floor else "", figure=value, bounds=spread))
    return found


def flat_floor_text(grown: dict[str, tuple[float, Spread]]) -> str:
    floor, *others = (round(grown[name][0], 2) for name in (growth.FLOOR, "sidecar", growth.PEER))
    return spread_text(*grown[growth.FLOOR]) + (NO_LIMIT if floor > min(others) else "")


def count_rows(allowed: dict[str, dict[str, int]]) -> list[Row]:
    """Each count, over all pieces of the hot path."""
    if not allowed:
        return []
    sums = {name: sum(piece[name] for piece in allowed.values()) for name in counts.COUNTED}
    return [Row(
        title=f"hot path: {', '.join(counts.COUNTED)} per message", target="0", spread="",
        value=", ".join(str(total) for total in sums.values()), against="CI's `Benchmarks/micro/bench check`",
        verdict=MISSED if any(sums.values()) else MET)]


def steps_text(first: tuple[int, int], last: tuple[int, int]) -> str:
    """From one step to another, in what differs between them."""
    index = 0 if first[0] != last[0] else 1
    return f"{first[index]:,} → {last[index]:,}"
