"""The tables, as rows of cells; and how they look on the terminal."""

from . import bootstrap, checks, flatness, growth, latency, sizes, summary, targets, works
from .candidates import PEERS

HEADINGS = ["throughput", "per proxy-CPU-s", "CPU each", "p50/p99/p99.9/worst µs", "resident", "sidecar ÷ this (rounds)"]
"""Of a table of works, behind its name."""


def count_text(value: float, unit: str) -> str:
    """A rate or a count in few digits."""
    if unit == "bytes":
        return f"{value / 2**30:.2f} GiB"
    return f"{value / 1000:.1f} k" if value >= 1000 else f"{value:.0f}"


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[index]) for row in [headings, *rows]) for index in range(len(headings))]
    for row in [headings, *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def work_rows(samples: list[dict], table: str, work: works.Work) -> list[list[str]]:
    """One row per candidate: throughput, CPU per unit of work, latency, resident memory meanwhile, and how it stands to the sidecar."""
    rows = []
    for name in summary.candidates_of(samples, table, work.name):
        mine = summary.rounds_of(samples, table, work.name, name)
        unit = next(iter(mine.values()))["unit"]
        speed = summary.median(mine, summary.per_second)
        efficiency = summary.median(mine, summary.per_cpu_second)
        resident = summary.median(mine, lambda sample: sample["residentBytes"])
        times = "–"
        if "latencyNanoseconds" in next(iter(mine.values())):
            percentiles = [latency.percentile(mine.values(), thousandths) for thousandths in latency.PERCENTILES.values()]
            times = " / ".join(f"{value:.0f}" for value in (*percentiles, summary.worst(mine)))
        cost = "–"
        against = "–"
        if efficiency:
            cost = f"{2**30 / efficiency * 1000:.0f} ms/GiB" if unit == "bytes" else f"{1e6 / efficiency:.1f} µs"
            if name not in ("sidecar", work.part(table)) and (ours := summary.rounds_of(samples, table, work.name, "sidecar")):
                pair = summary.Ratio(ours, mine, summary.per_cpu_second)
                against = f"{pair.of_medians:.2f} ({pair.low:.2f}–{pair.high:.2f})"
        rows.append([
            f"  {name}", count_text(speed, unit) + "/s", count_text(efficiency, unit) if efficiency else "–", cost, times,
            f"{resident / 2**20:.1f} MiB" if resident else "–", against])
    return rows


def print_works(samples: list[dict], table: str, chosen: list[works.Work]) -> None:
    rows = []
    for work in chosen:
        rows.append([work.title] + [""] * len(HEADINGS))
        rows.extend(work_rows(samples, table, work))
    print()
    print_table([table, *HEADINGS], rows)


def targets_table(results: dict) -> tuple[list[str], list[list[str]]]:
    return ["work", "target", "sidecar", "spread", "against", "met", "floor"], [
        [row.title, row.target, row.value, row.spread, row.against, row.verdict, row.floor]
        for row in targets.rows(results)]


def print_everything(results: dict) -> None:
    for table in targets.WHERE:
        chosen = [work for work in works.FULL if summary.candidates_of(results["samples"], table, work.name)]
        if chosen:
            print_works(results["samples"], table, chosen)
    print_more(results)
    print_targets(results)
    print(f"\n{repeated_text(results)}")


def print_targets(results: dict) -> None:
    headings, rows = targets_table(results)
    if rows:
        print()
        print_table(headings, rows)


def print_more(results: dict) -> None:
    """What isn't a work."""
    for key, table in (("memory", memory_table), ("growth", growth_table), ("checks", checks_table)):
        if results[key]:
            print()
            print_table(*table(results))


def repeated_text(results: dict) -> str:
    """How many samples had to be measured again (rounds.py says when), and whose."""
    samples = results["samples"] + results["growth"]
    repeated = [sample["candidate"] for sample in samples if sample["attempts"] > 1]
    whose = ", ".join(f"{repeated.count(name)} of {name}'s" for name in dict.fromkeys(repeated))
    rounds = {(one["table"], one["round"]) for one in results["memory"] if "table" in one and one["attempts"] > 1}
    return (
        f"{len(repeated)} of {len(samples)} samples {'was' if len(repeated) == 1 else 'were'} measured again, since nothing came "
        f"through or the proxy got no CPU{': ' if whose else ''}{whose}; and of the rounds of memory {len(rounds)}, since a held "
        "connection was reset.")


def memory_table(results: dict) -> tuple[list[str], list[list[str]]]:
    found = results["memory"]
    resident, anonymous = (sizes.of_processes(found, key) for key in targets.PROCESS_LIMITS)
    rows = [
        [f"idle process, {name}", f"{size.text(1)} / {anonymous[name].text(1)} MiB"] for name, size in resident.items()]
    for table, where in targets.WHERE.items():
        rows += [
            [f"idle connection, {where}, {name}", f"{size.text(2)} KiB"]
            for name, size in sizes.of_connections(found, table).items()]
    return ["memory", "resident / anonymous (rounds)"], rows


KINDS = {"busy": "all", "held": f"{growth.FEW}", "workers": "all"}
"""How many of a step's connections are in use."""


def growth_table(results: dict) -> tuple[list[str], list[list[str]]]:
    """CPU per round trip and per new connection, and memory per connection, step by step."""
    samples = results["growth"]
    rows = []
    for kind, busy in KINDS.items():
        series = {
            name: {work: flatness.cpu(samples, name, kind, work) for work in ("round trip", "new connection")}
            for name in growth.NAMES}
        memory = {name: flatness.memory(samples, name) for name in growth.NAMES}
        for step in sorted({(one["connections"], one["workers"]) for one in samples if one["kind"] == kind}):
            for name in growth.NAMES:
                cells = [f"{step[0]:,}", busy, f"{step[1]}", name]
                cells += [cost_text(one, step) for one in series[name].values()]
                has_memory = kind == "busy" and step in memory[name].steps
                rows.append([*cells, f"{memory[name].median(step) / 1024:.2f} KiB" if has_memory else "–"])
    headings = ["connections", "busy", "workers", "candidate", "CPU per round trip", "per new connection", "memory, each"]
    return headings, rows


def cost_text(series: flatness.Series, step: tuple[int, int]) -> str:
    """The median of a step, with the lowest and the highest of its rounds."""
    if step not in series.steps:
        return "–"
    costs = series.steps[step].values()
    return f"{series.median(step):.1f} µs ({min(costs):.1f}–{max(costs):.1f})"


def checks_table(results: dict) -> tuple[list[str], list[list[str]]]:
    """The sidecar against each peer, by the tools and by the generator, and whether these tell the same."""
    rows = []
    for tool, counterpart in checks.COUNTERPARTS.items():
        by_tool: dict[str, dict[int, dict]] = {}
        for one in results["checks"]:
            if one["tool"] == tool:
                by_tool.setdefault(one["candidate"], {})[one["round"]] = one
        own = {
            name: summary.rounds_of(results["samples"], "clear", counterpart, name) for name in ("sidecar", *PEERS)}
        for peer in PEERS:
            texts, spreads = zip(*(ratio_to(peer, samples) for samples in (by_tool, own)))
            rows.append([f"{tool}, sidecar ÷ {peer}", *texts, bootstrap.agreement(*spreads)])
    return ["checks", "by the tool", "by the generator", "spreads"], rows


def ratio_to(peer: str, samples: dict[str, dict[int, dict]]) -> tuple[str, bootstrap.Spread | None]:
    """The sidecar's work per proxy-CPU-second against a peer's, with its spread; nothing where one wasn't measured."""
    if not samples.get("sidecar") or not samples.get(peer):
        return "–", None
    found = summary.Ratio(samples["sidecar"], samples[peer], summary.per_cpu_second)
    spread = found.spread()
    return f"{found.of_medians:.2f} ({spread.text('{:.2f}–{:.2f}')})", spread
