#!/usr/bin/env python3
"""What readers of 1 KB/s cost everybody else: bulk and message rates through one worker, quiet and beside them.

    Benchmarks/slow-reader/run.py [path of a release build of sidecar-proxy] [rounds]

The slow readers download from an app that never stops sending. Beside them iperf3 downloads for two seconds and
redis-benchmark sends 50 × 3,000 pings, both through the same worker. Each round measures with no slow reader, with one
and with 20, in turn, so that what else the machine does meets all three alike; bulk past the proxy shows what is the
machine's doing. (A few hundred stalled streams of 8 MB would bring the kernel to net.ipv4.tcp_mem, which slows every
connection of the host down, proxied or not.) Prints medians, the ratio to the quiet
runs of the same rounds with its spread, and how much memory the sidecar gained. Nothing fails, because rates depend on
the machine. Needs Debian's iperf3, redis-server and redis-tools.
"""

import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

READERS = [0, 1, 20]
BYTES_PER_SECOND = 1000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class EndlessApp:
    """Sends for as long as its clients take."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.blocks_sent = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            threading.Thread(target=self.send, args=(self.listener.accept()[0],), daemon=True).start()

    def send(self, connection):
        block = bytes(65536)
        try:
            while True:
                connection.sendall(block)
                self.blocks_sent += 1
        except OSError:
            connection.close()

    def wait_until_stalled(self):
        """Until every buffer on the way to the clients is full, so that only what they read is moving."""
        sent = -1
        while self.blocks_sent > sent + 8:
            sent = self.blocks_sent
            time.sleep(0.5)


class SlowReaders:
    """Connections that read 1 KB a second each, until the block ends."""

    def __init__(self, app, port, count):
        self.app, self.port, self.count = app, port, count

    def __enter__(self):
        self.ended = threading.Event()
        self.bytes_read = 0
        self.connections = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(self.count)]
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.app.wait_until_stalled()
        return self

    def read(self):
        while not self.ended.wait(1):
            for connection in self.connections:
                self.bytes_read += len(connection.recv(BYTES_PER_SECOND))

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        for connection in self.connections:
            connection.close()


def bulk_rate(port):
    """GiB/s of a download."""
    command = ["iperf3", "--client", "127.0.0.1", "--port", str(port), "--reverse", "--time", "2", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    if "error" in report:
        sys.exit(f"iperf3: {report['error']}")
    return report["end"]["sum_received"]["bits_per_second"] / 8 / 2**30


def message_rate(port):
    """Round trips a second of 50 connections."""
    command = ["redis-benchmark", "-p", str(port), "-t", "ping_mbulk", "-c", "50", "-n", "150000", "--csv"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return float(lines[-1].split(",")[1].strip('"'))


def anonymous_kibibytes(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else str(pathlib.Path(__file__).parents[2] / ".build/release/sidecar-proxy")
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    apps = {name: free_port() for name in ("stream", "iperf3", "redis")}
    through = {name: free_port() for name in apps}
    forwards = [f"--forward=127.0.0.1:{through[name]}=127.0.0.1:{apps[name]}" for name in apps]
    metrics = free_port()
    commands = [
        ["iperf3", "--server", "--bind", "127.0.0.1", "--port", str(apps["iperf3"])],
        ["redis-server", "--port", str(apps["redis"]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        [binary, "run", "--workers=1", f"--metrics-bind=127.0.0.1:{metrics}", f"--admin-bind=127.0.0.1:{free_port()}"]
        + ["--access-log-format=off", "--drain-grace=0s", "--drain-deadline=1s"]
        + forwards,
    ]
    app = EndlessApp(apps["stream"])
    with tempfile.TemporaryFile() as output:
        running = [subprocess.Popen(command, stdout=output, stderr=output) for command in commands]
        try:
            for port in [*apps.values(), *through.values()]:
                wait_for(port)
            measure(running[-1].pid, app, apps, through, rounds)
            address = f"http://127.0.0.1:{metrics}/metrics"
            text = urllib.request.urlopen(address).read().decode()
            print("still held afterwards:", *(line for line in text.splitlines() if line.startswith("sidecar_overflow_chunks_in_use")))
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()


def measure(sidecar, app, apps, through, rounds):
    measures = {
        "bulk, GiB/s": (bulk_rate, through["iperf3"]),
        "bulk past the proxy": (bulk_rate, apps["iperf3"]),
        "messages, round trips/s": (message_rate, through["redis"]),
    }
    results = {(name, count): [] for name in measures for count in READERS}
    memory = {count: [] for count in READERS}
    for rate, port in measures.values():
        rate(port)  # warms up
    for _ in range(rounds):
        for count in READERS:
            before = anonymous_kibibytes(sidecar)
            with SlowReaders(app, through["stream"], count) as readers:
                for name, (rate, port) in measures.items():
                    results[name, count].append(rate(port))
                memory[count].append(anonymous_kibibytes(sidecar) - before)
                if count and readers.bytes_read == 0:
                    sys.exit("the slow readers have read nothing: not a measurement")

    print(f"{'':26}{'slow readers':>14}{'median':>12}{'ratio to quiet':>16}{'spread':>16}")
    for name in measures:
        for count in READERS:
            ratios = [one / quiet for one, quiet in zip(results[name, count], results[name, 0])]
            spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
            median = statistics.median(results[name, count])
            print(f"{name:26}{count:>14}{median:>12.4g}{statistics.median(ratios):>16.2f}{spread:>16}")
    for count in READERS:
        print(f"{'anonymous memory, KiB':26}{count:>14}{statistics.median(memory[count]):>+12.0f}")


if __name__ == "__main__":
    main()
