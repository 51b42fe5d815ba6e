"""The part of docs/performance.md that comes from a run: between two marks, with its charts and settings in docs/performance/."""

import pathlib

from . import again, bootstrap, charts, growth, report, summary, targets, works

BEGIN = "<!-- results: written by `make bench-page` -->"
END = "<!-- results: end -->"
SETTINGS = "settings.md"


def write(results: dict, earlier: list[dict], page: pathlib.Path) -> None:
    """Replaces what stands between the marks, and the charts. `earlier`: other runs, to hold this one against."""
    text = page.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    pictures = charts.write_all(results, page.with_suffix(""))
    (page.with_suffix("") / SETTINGS).write_text(settings(results))
    page.write_text(f"{before}{BEGIN}\n\n{section(results, earlier, pictures, page.stem)}\n{END}{after}")


def section(results: dict, earlier: list[dict], pictures: list[tuple[str, str]], directory: str) -> str:
    parts = [about(results), "### Targets", targets_table(results)]
    for name, title in pictures:
        parts.append(f"**{title}**\n\n![{title}]({directory}/{name})")
    parts += ["### All rows", *(rows_table(results, table) for table in ("clear", "mtls"))]
    if results["growth"]:
        parts += ["### Growth", growth_limit(results), markdown(*report.growth_table(results))]
    if results["checks"]:
        headings, rows = report.checks_table(results)
        told = f"{CHECKS} {bootstrap.agreements_text(rows, -1)}."
        parts += ["### Standard tools", told, markdown(headings, bold(rows, bootstrap.APART))]
    parts.append(f"What everybody was given: [settings]({directory}/{SETTINGS}).")
    if earlier:
        runs = [*earlier, results]
        headings, rows = again.table(*runs)
        parts += ["### The same again", same_again(runs, rows),
                  markdown(headings, bold(rows, bootstrap.APART, again.NEITHER))]
    return "\n\n".join(part for part in parts if part) + "\n"


CHECKS = """The sidecar against each peer in work per proxy-CPU-second, with its spread, by the tool and by the generator's
closest work. An HTTP request of wrk's is about the size of a small message."""


def same_again(runs: list[dict], rows: list[list[str]]) -> str:
    """What runs have in common, and how far they agree by the rows of their table."""
    begun = ", ".join(one["begun"][:16].replace("T", " ") for one in runs)
    builds = " and ".join(dict.fromkeys(map(build_text, runs)))
    settings_are = "the same" if all(again.has_same_settings(runs[0], one) for one in runs) else "**other**"
    return (
        f"`make bench` {len(runs)} times, {begun} (UTC), of {builds}, with {settings_are} settings; the tables above "
        "are of the last, which is held against the one before it. In brackets the spread of what decides: of a ratio, or of the "
        f"difference in latency, to the best peer of each run. {again.summary_text(rows, *runs)} Where all were measured alike, the last columns have the rounds of "
        "all as those of a single run, taken for independent of it, which decides where their verdicts differ.")


def build_text(results: dict) -> str:
    """What was measured and what measured it, so that two runs of other builds can't pass for two of one."""
    versions = " and ".join(dict.fromkeys(versions["sidecar"] for versions in results["versions"].values()))
    return f"{versions} ({', '.join(f'{name} `{digits}`' for name, digits in results['builds'].items())})"


def settings(results: dict) -> str:
    """A page of its own: every file that a candidate was given."""
    parts = ["# Settings of the benchmark's last run", "Written by `make bench-page`."]
    for table, files in results["settings"].items():
        parts.append(f"## {targets.WHERE[table]}")
        parts += [f"### {name}\n\n```\n{text.strip()}\n```" for name, text in sorted(files.items())]
    return "\n\n".join(parts) + "\n"


def growth_limit(results: dict) -> str:
    """How far connections could grow, and why no further."""
    reached = max(one["connections"] for one in results["growth"])
    if reached == growth.BUSY_COUNTS[-1]:
        return ""
    return (
        f"{reached:,} connections are as many as fit: a connection takes two descriptors of the proxy's, some are kept "
        f"for pipes, and a process may have {results['options']['openFilesMax']:,} on this machine.")


def about(results: dict) -> str:
    machine, options = results["machine"], results["options"]
    where = "in a virtual machine" if machine["isVirtual"] else "on bare metal"
    network = "a network namespace of its own" if options["ownNetwork"] else "the host's network namespace"
    halting = "doesn't halt" if options["canStayAwake"] else "halts as elsewhere, since nothing here may change that"
    command, rate, others = (
        ("make bench-quick", works.QUICK_LATENCY, "") if options["quick"]
        else ("make bench", works.LATENCY, f" (works without a target, latency, memory and growth {works.FEW_ROUNDS})"))
    rate_count = len({one["round"] for one in results["samples"] if one["work"] == works.LATENCY.name})
    lines = [
        f"{results['begun'][:10]}, `{command}`, {options['rounds']} rounds{others}, {options['seconds']:g} s a sample (fixed rate "
        f"{rate_count} of {options['seconds'] * rate.length:g} s, on a core that {halting}), in {network}.",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memoryBytes'] / 2**30:.0f} GiB, {where}; Linux "
        f"{machine['kernel']}, {machine['congestionControl']} congestion control.", report.repeated_text(results), ""]
    names = ["sidecar", "haproxy", "nginx", "envoy", "openssl"]
    rows = [[table, *(versions[name] for name in names)] for table, versions in results["versions"].items()]
    builds = results["builds"]
    own = markdown(
        ["built here", *builds, "checkout (git describe)"],
        [["SHA-256 begins with", *(f"`{digits}`" for digits in builds.values()), results["checkout"]]])
    return "\n".join(lines) + "\n" + markdown(["versions", *names], rows) + "\n\n" + own


def targets_table(results: dict) -> str:
    headings, rows = report.targets_table(results)
    return markdown(headings, bold(rows, targets.MISSED))


def bold(rows: list[list[str]], *verdicts: str) -> list[list[str]]:
    return [[f"**{cell}**" if cell in verdicts else cell for cell in row] for row in rows]


def rows_table(results: dict, table: str) -> str:
    chosen = [work for work in works.FULL if summary.candidates_of(results["samples"], table, work.name)]
    rows = []
    for work in chosen:
        rows.append([f"**{work.title}**"] + [""] * (len(report.HEADINGS)))
        rows += report.work_rows(results["samples"], table, work)
    return markdown([table, *report.HEADINGS], rows) if rows else ""


def markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] + ["--:"] * (len(headings) - 1), *([cell.strip() for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
