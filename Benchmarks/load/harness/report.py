"""The tables on the terminal."""

from . import summary, works


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
    """One row per candidate: throughput, CPU per unit of work, latency, memory, and how it stands to the sidecar."""
    rows = []
    for name in summary.candidates_of(samples, table, work.name):
        mine = summary.rounds_of(samples, table, work.name, name)
        unit = next(iter(mine.values()))["unit"]
        speed = summary.median(mine, summary.per_second)
        efficiency = summary.median(mine, summary.per_cpu_second)
        resident = summary.median(mine, lambda sample: sample["residentBytes"])
        latency = "–"
        if "latencyNanoseconds" in next(iter(mine.values())):
            latency = " / ".join(
                f"{summary.median(mine, summary.percentile(name)):.0f}" for name in ("p50", "p99", "p999"))
        cost = "–"
        against = "–"
        if efficiency:
            cost = f"{2**30 / efficiency * 1000:.0f} ms/GiB" if unit == "bytes" else f"{1e6 / efficiency:.1f} µs"
            if name != "sidecar" and (ours := summary.rounds_of(samples, table, work.name, "sidecar")):
                pair = summary.Ratio(ours, mine, summary.per_cpu_second)
                against = f"{pair.of_medians:.2f} ({pair.low:.2f}–{pair.high:.2f})"
        rows.append([
            f"  {name}", count_text(speed, unit) + "/s", count_text(efficiency, unit) if efficiency else "–", cost, latency,
            f"{resident / 2**20:.1f} MiB" if resident else "–", against])
    return rows


def print_works(samples: list[dict], table: str, chosen: list[works.Work]) -> None:
    headings = [
        table, "throughput", "per proxy-CPU-s", "CPU each", "p50/p99/p99.9 µs", "resident", "sidecar ÷ this (rounds)"]
    rows = []
    for work in chosen:
        rows.append([work.title] + [""] * (len(headings) - 1))
        rows.extend(work_rows(samples, table, work))
    print()
    print_table(headings, rows)
