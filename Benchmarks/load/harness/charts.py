"""Charts as SVG, written by hand: bars in groups, and lines over a logarithmic axis. No more than the page needs."""

import dataclasses
import html
import math
import pathlib

from . import flatness, growth, latency, sizes, summary, targets, works
from .candidates import PEERS

COLORS = {
    "sidecar": "#d9480f", "haproxy": "#4c6ef5", "nginx": "#2b8a3e", "envoy": "#862e9c", "floor": "#adb5bd"}
OTHER = "#495057"
WIDTH = 760
LABEL_WIDTH = 190
BAR_HEIGHT = 11
INK = "#212529"
TEXT_SIZE, BAR_TEXT_SIZE = 12, 9


@dataclasses.dataclass(frozen=True)
class Bar:
    candidate: str
    value: float
    text: str


@dataclasses.dataclass(frozen=True)
class Group:
    """Bars that belong together. `target` is where a mark stands that the sidecar's bar has to reach or to stay below."""

    label: str
    bars: list[Bar]
    target: float | None = None


@dataclasses.dataclass(frozen=True)
class Line:
    candidate: str
    points: list[tuple[int, float]]
    dashes: str = ""
    """As SVG's stroke-dasharray has it."""


def write_all(results: dict, directory: pathlib.Path) -> list[tuple[str, str]]:
    """Writes the charts that the results have data for, in place of those that were there; returns file names and what
    they show."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    written = []
    for name, title, chart in [
            ("clear.svg", "In the clear: work per proxy-CPU-second, best peer = 1", efficiency(results, "clear")),
            ("mtls.svg", "mTLS pair: work per proxy-CPU-second, best peer = 1", efficiency(results, "mtls")),
            ("latency.svg", f"Latency added: {works.LATENCY.title}, µs (spread)", added_latency(results)),
            ("memory.svg", "Memory of an idle process (MiB) and of an idle connection (KiB)", memory(results)),
            ("growth.svg", "CPU per round trip of 64 B, µs, by connections; broken: 64 of them busy", growth_of(results))]:
        if chart:
            (directory / name).write_text(chart)
            written.append((name, title))
    return written


# What each chart shows.

def efficiency(results: dict, table: str) -> str:
    samples = results["samples"]
    groups = []
    for wanted, names in targets.RATIOS[table].items():
        for name in names:
            best = summary.best_peer(samples, table, name, summary.per_cpu_second)
            if best is None:
                continue
            unit = summary.median(summary.rounds_of(samples, table, name, best), summary.per_cpu_second)
            bars = []
            for candidate in ("sidecar", *PEERS, *works.named(name).floors(table)):
                mine = summary.median(summary.rounds_of(samples, table, name, candidate), summary.per_cpu_second)
                if mine is not None:
                    bars.append(Bar(candidate, mine / unit, f"{mine / unit:.2f}"))
            groups.append(Group(works.named(name).title, bars, wanted))
    return bars_chart(groups)


def added_latency(results: dict) -> str:
    groups = []
    for table, where in targets.WHERE.items():
        comparison = latency.Comparison(results["samples"], table, works.LATENCY.name)
        for label, percentile in latency.PERCENTILES.items():
            bars = []
            for candidate in comparison.candidates:
                value = comparison.added(candidate, percentile)
                spread = comparison.added_spread(candidate, percentile)
                bars.append(Bar(candidate, max(value, 0), f"{value:.0f} ({spread.text('{:.0f} to {:.0f}')})"))
            if bars:
                groups.append(Group(f"{where}, {label}", bars))
    return bars_chart(groups, own_scales=True)


def memory(results: dict) -> str:
    groups = []
    for key, (label, wanted) in targets.PROCESS_LIMITS.items():
        bars = [
            Bar(name, size.median, f"{size.median:.1f} MiB")
            for name, size in sizes.of_processes(results["memory"], key).items()]
        if bars:
            groups.append(Group(f"process, {label}", bars, wanted))
    for table, wanted in targets.CONNECTION_LIMITS.items():
        bars = [
            Bar(name, size.median, f"{size.median:.1f} KiB")
            for name, size in sizes.of_connections(results["memory"], table).items()]
        if bars:
            groups.append(Group(f"connection, {targets.WHERE[table]}", bars, wanted))
    return bars_chart(groups, own_scales=True)


def growth_of(results: dict) -> str:
    """Solid where all connections are in use, broken where few of them are."""
    lines = []
    for kind, style in (("busy", ""), ("held", "5 4")):
        for name in growth.NAMES:
            series = flatness.cpu(results["growth"], name, kind, "round trip")
            if series.steps:
                points = [(step[0], series.median(step)) for step in sorted(series.steps)]
                lines.append(Line(name, points, style))
    return lines_chart(lines)


# How they are drawn.

def bars_chart(groups: list[Group], own_scales: bool = False) -> str:
    """`own_scales`: groups whose figures can't be compared fill the width each."""
    if not groups:
        return ""
    room = WIDTH - LABEL_WIDTH - 110
    longest = {group.label: max([bar.value for bar in group.bars] + [group.target or 0]) for group in groups}
    parts = []
    top = 34
    for group in groups:
        scale = room / ((longest[group.label] if own_scales else max(longest.values())) or 1)
        height = len(group.bars) * BAR_HEIGHT
        middle = top + height / 2 + 4
        parts.append(
            f'<text x="{LABEL_WIDTH - 10}" y="{middle:.0f}" text-anchor="end" {text()}>{html.escape(group.label)}</text>')
        for index, bar in enumerate(group.bars):
            y = top + index * BAR_HEIGHT
            parts.append(
                f'<rect x="{LABEL_WIDTH}" y="{y}" width="{bar.value * scale:.1f}" height="{BAR_HEIGHT - 2}" '
                f'fill="{color(bar.candidate)}"><title>{html.escape(bar.candidate)}: {bar.text}</title></rect>')
            parts.append(
                f'<text x="{LABEL_WIDTH + bar.value * scale + 4:.1f}" y="{y + BAR_HEIGHT - 3}" {text(BAR_TEXT_SIZE)}>'
                f'{bar.text}</text>')
        if group.target is not None:
            x = LABEL_WIDTH + group.target * scale
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + height}" stroke="{INK}" '
                f'stroke-dasharray="3 2"><title>target {group.target:g}</title></line>')
        top += height + 14
    names = dict.fromkeys(bar.candidate for group in groups for bar in group.bars)
    return document(top, legend(list(names)) + parts)


def lines_chart(lines: list[Line]) -> str:
    if not lines:
        return ""
    left, right, top, bottom = 60, WIDTH - 30, 40, 300
    counts = sorted({count for line in lines for count, _ in line.points})
    highest = max(value for line in lines for _, value in line.points) * 1.1
    span = math.log10(counts[-1]) - math.log10(counts[0]) or 1

    def x(count: int) -> float:
        return left + (math.log10(count) - math.log10(counts[0])) / span * (right - left)

    def y(value: float) -> float:
        return bottom - value / highest * (bottom - top)

    parts = []
    for count in counts:
        parts.append(f'<text x="{x(count):.0f}" y="{bottom + 18}" text-anchor="middle" {text()}>{count:,}</text>')
    step = 10 ** math.floor(math.log10(highest))
    for index in range(1, int(highest / step) + 1):
        level = y(index * step)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}" stroke="#dee2e6"/>')
        parts.append(f'<text x="{left - 8}" y="{level + 4:.1f}" text-anchor="end" {text()}>{index * step:g}</text>')
    parts.append(f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="#495057"/>')
    for line in lines:
        path = " ".join(f"{x(count):.1f},{y(value):.1f}" for count, value in line.points)
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color(line.candidate)}" stroke-width="2"{dashes}/>')
        for count, value in line.points:
            parts.append(
                f'<circle cx="{x(count):.1f}" cy="{y(value):.1f}" r="3" fill="{color(line.candidate)}">'
                f'<title>{html.escape(line.candidate)}, {count:,}: {value:.1f}</title></circle>')
    return document(bottom + 30, legend([line.candidate for line in lines]) + parts)


def text(size: int = TEXT_SIZE) -> str:
    """How letters look."""
    return f'font-family="system-ui, sans-serif" font-size="{size}" fill="{INK}"'


def color(candidate: str) -> str:
    return COLORS["floor"] if candidate.startswith("floor-") else COLORS.get(candidate, OTHER)


def legend(candidates: list[str]) -> list[str]:
    parts = []
    x = LABEL_WIDTH
    for name in dict.fromkeys("floor" if one.startswith("floor-") else one for one in candidates):
        parts.append(f'<rect x="{x}" y="10" width="11" height="11" fill="{COLORS.get(name, OTHER)}"/>')
        parts.append(f'<text x="{x + 15}" y="20" {text()}>{html.escape(name)}</text>')
        x += 34 + 7 * len(name)
    return parts


def document(height: float, parts: list[str]) -> str:
    size = f'width="{WIDTH}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" {size}>'
    return "\n".join([head, f'<rect {size} fill="#ffffff"/>', *parts, "</svg>", ""])
