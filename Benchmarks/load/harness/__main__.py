"""The command line: what to measure, with whom, how often. Started by Benchmarks/load/bench."""

import argparse
import pathlib
import signal
import sys

from . import BenchmarkFailure, again, page, processes, report, results
from .run import REPOSITORY, Run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Benchmarks/load/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer works and rounds: about two minutes")
    parser.add_argument(
        "--work", action="append", metavar="GLOB",
        help="only this, such as clear/pingpong-64x64, 'mtls/bulk-*', '*/memory', clear/growth or clear/checks")
    parser.add_argument(
        "--candidates", metavar="A,B,…", help="only these, such as sidecar,haproxy (direct is always there)")
    parser.add_argument(
        "--also", action="append", default=[], metavar="NAME=PATH", help="another build of the sidecar to compare")
    parser.add_argument("--rounds", type=int, help="samples of each candidate at each work (default: 6, quick: 5)")
    parser.add_argument("--seconds", type=float, help="length of a sample (default: 0.2, quick: 0.15)")
    parser.add_argument("--tls-root", choices=["debian13", "host"], default="debian13", help="where TLS is measured")
    parser.add_argument("--first-port", type=int, default=20000, help="two thousand ports from here on are used")
    parser.add_argument(
        "--results", type=pathlib.Path, default=REPOSITORY / "out/bench/results.json", help="where results are kept")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: show the results in docs/performance.md")
    parser.add_argument(
        "--compare", type=pathlib.Path, nargs="+", default=[], metavar="EARLIER",
        help="measure nothing: hold the results against those of other runs, the oldest first; with --page, in "
        "docs/performance.md as well")
    return parser.parse_args()


def show(options: argparse.Namespace) -> None:
    """What was measured before."""
    found = results.load(options.results)
    earlier = [results.load(path) for path in options.compare]
    if earlier:
        again.check_order(*earlier, found)
        headings, rows = again.table(*earlier, found)
        report.print_table(headings, rows)
        print(f"\n{again.summary_text(rows, *earlier, found)}")
    if options.page:
        page.write(found, earlier, REPOSITORY / "docs/performance.md")


def main() -> int:
    options = arguments()
    # So that what was started is stopped.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        if options.page or options.compare:
            show(options)
            return 0
        processes.raise_descriptor_limit()
        found = Run(options).everything()
        results.save(found, options.results)
        report.print_everything(found)
        print(f"\n{found['minutes']} minutes; everything is in {options.results}")
    except BenchmarkFailure as failure:
        print(f"\nbench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


sys.exit(main())
