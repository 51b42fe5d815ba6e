"""The same candidates under tools that everybody knows, as a check on the generator: wrk against nginx's HTTP server, and
iperf3 against its own. If its ratios and theirs lie apart, one of them has to be looked into."""

import json
import re
import subprocess
import time

from . import BenchmarkFailure, processes, works
from .candidates import Candidate, Ports
from .places import Place
from .rounds import in_turn

ROUNDS = 5
WRK_SECONDS = 1
"""It knows no shorter time."""
IPERF3_BYTES = 1 << 30
"""0.3 to 0.5 s. By time it would be a second at the least."""

WEB_SERVER = """user root;
daemon off;
pid {pid};
error_log stderr crit;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "0123456789abcdef"; }}
  }}
}}
"""


class Servers:
    """What the tools talk to: nginx for wrk, and iperf3's own server. `ports` are theirs, in that order."""

    def __init__(self, place: Place, ports: Ports, core: int):
        self.ports = (ports.take(), ports.take())
        web_port, bulk_port = self.ports
        configuration = place.write("web.conf", WEB_SERVER.format(port=web_port, pid=place.inside("web.pid")))
        self.servers = [processes.Server(
            "web", [place.program("nginx"), "-e", "stderr", "-p", "/tmp", "-c", configuration], web_port, {core}, place)]
        try:
            self.servers.append(processes.Server(
                "iperf3", [place.program("iperf3"), "--server", "--bind", "127.0.0.1", "--port", str(bulk_port)],
                bulk_port, {core}, place))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def run(profile: str, candidates: list[Candidate], core: int, note) -> list[dict]:
    """Every proxy under every tool whose counterpart wants these settings, in rounds. The candidates' targets are
    `Servers.ports`."""
    found = []
    proxies = [candidate for candidate in candidates if candidate.servers]
    for number in range(ROUNDS):
        for tool, counterpart in COUNTERPARTS.items():
            if works.named(counterpart).profile != profile:
                continue
            for candidate in in_turn(proxies, tool, number):
                before = processes.cpu_nanoseconds(candidate.pids)
                begun = time.monotonic()
                count = TOOLS[tool](candidate, core)
                found.append({
                    "tool": tool, "candidate": candidate.name, "round": number, "count": count,
                    "seconds": time.monotonic() - begun,
                    "cpuSeconds": (processes.cpu_nanoseconds(candidate.pids) - before) / 1e9})
                candidate.check()
            note(f"checks: {tool}, round {number + 1} of {ROUNDS}")
    return found


def wrk(candidate: Candidate, core: int) -> int:
    """Requests that were answered on 64 connections."""
    text = output(
        ["wrk", "--threads", "1", "--connections", "64", "--duration", f"{WRK_SECONDS}s",
         f"http://127.0.0.1:{candidate.ports[0]}/"], core, candidate)
    if "Socket errors" in text or "Non-2xx" in text:
        raise BenchmarkFailure(f"wrk through {candidate.name} saw errors: {text}")
    requests = re.search(r"(\d+) requests in", text)
    if requests is None:
        raise BenchmarkFailure(f"wrk through {candidate.name}: {text.strip()}")
    return int(requests.group(1))


def iperf3(candidate: Candidate, core: int, *more: str) -> int:
    """Bytes of one stream that arrived."""
    text = output(
        ["iperf3", "--client", "127.0.0.1", "--port", str(candidate.ports[1]), "--bytes", str(IPERF3_BYTES), "--json", *more],
        core, candidate)
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        raise BenchmarkFailure(f"iperf3 through {candidate.name}: {text.strip()}") from None
    if "error" in report:
        raise BenchmarkFailure(f"iperf3 through {candidate.name}: {report['error']}")
    return report["end"]["sum_received"]["bytes"]


def output(arguments: list[str], core: int, candidate: Candidate) -> str:
    try:
        done = subprocess.run(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
            preexec_fn=processes.on_cores({core}))
    except FileNotFoundError:
        raise BenchmarkFailure(f"{arguments[0]} is not installed; `make setup-bench` installs it") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkFailure(f"{arguments[0]} through {candidate.name} never ended") from None
    return done.stdout


TOOLS = {
    "wrk": wrk, "iperf3 up": iperf3, "iperf3 down": lambda candidate, core: iperf3(candidate, core, "--reverse")}
"""How each measures, and the name it goes by."""

COUNTERPARTS = {"wrk": "pingpong-64x64", "iperf3 up": "bulk-1-up", "iperf3 down": "bulk-1-down"}
"""The generator's work that is closest to each tool's."""
