"""Goal: at a fixed rate every message that was due counts, and no stall hides behind the end of a sample; of a stream what
has arrived counts, and not what was sent. Method: the real generator, against an origin that answers some messages and then
none until the generator has long stopped sending, and against its own."""

import json
import pathlib
import selectors
import socket
import subprocess
import tempfile
import threading
import unittest

from harness import latency

GENERATOR = pathlib.Path(__file__).resolve().parents[2] / ".build/release/sidecar-load"
REQUEST_BYTES = 16
SOURCE_REQUEST = (0x6c6f61642d763100).to_bytes(8, "little") + (4).to_bytes(8, "little")
MESSAGE_BYTES = 64
CONNECTIONS = 8


class StallingOrigin(threading.Thread):
    """Echoes all that comes, until it has echoed so many messages; then holds what else comes until nothing has for a while."""

    def __init__(self, answers: int):
        super().__init__(daemon=True)
        self.bytes_left = answers * MESSAGE_BYTES
        self.held: dict[socket.socket, bytes] = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        with selectors.DefaultSelector() as selector, self.listener:
            for _ in range(CONNECTIONS):
                connection = self.listener.accept()[0]
                connection.recv(REQUEST_BYTES, socket.MSG_WAITALL)
                selector.register(connection, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(timeout=2)
                if not ready:
                    self.bytes_left = 1 << 60
                    for connection, data in self.held.items():
                        connection.sendall(data)
                    self.held.clear()
                for key, _ in ready:
                    self.received(selector, key.fileobj)

    def received(self, selector: selectors.BaseSelector, connection: socket.socket):
        data = connection.recv(4_096)
        if not data:
            selector.unregister(connection)
            connection.close()
        elif self.bytes_left > 0:
            self.bytes_left -= len(data)
            connection.sendall(data)
        else:
            self.held[connection] = self.held.get(connection, b"") + data


class RateTests(unittest.TestCase):
    def test_messages_whose_replies_come_after_the_end_count(self):
        self.assertTrue(GENERATOR.exists(), f"{GENERATOR} is not there; `make bench-smoke` builds it")
        origin = StallingOrigin(answers=100)
        origin.start()
        done = subprocess.run(
            [GENERATOR, "rate", "--to", f"127.0.0.1:{origin.port}", "--rate", "1000", "--connections", str(CONNECTIONS),
             "--bytes", str(MESSAGE_BYTES), "--seconds", "0.5", "--warm-up", "0"],
            capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        result = json.loads(done.stdout)
        # The window ends between two messages.
        self.assertAlmostEqual(result["latencyNanoseconds"]["count"], 500, delta=1)
        self.assertLess(result["count"], 200, "the origin did not stall, so that nothing was tried")


class OriginTests(unittest.TestCase):
    """With the generator's own origin."""

    def setUp(self):
        self.assertTrue(GENERATOR.exists(), f"{GENERATOR} is not there; `make bench-smoke` builds it")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.received = pathlib.Path(directory.name, "received")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        origin = subprocess.Popen(
            [GENERATOR, "origin", "--listen", f"127.0.0.1:{self.port}", "--received", self.received],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(origin.stdout.close)
        self.addCleanup(origin.wait)
        self.addCleanup(origin.kill)
        self.assertEqual(origin.stdout.readline(), "listening\n")


class HistogramTests(OriginTests):
    BUCKET = 128
    """Two significant digits: a bucket's values differ by less than one part of so many."""

    def test_every_message_is_in_a_bucket_and_buckets_have_the_percentiles(self):
        for command in (["rate", "--rate", "4000"], ["pingpong"], ["connect"]):
            with self.subTest(command[0]):
                done = subprocess.run(
                    [GENERATOR, *command, "--to", f"127.0.0.1:{self.port}", "--seconds", "0.3", "--warm-up", "0"],
                    capture_output=True, text=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                sample = json.loads(done.stdout)
                found = sample["latencyNanoseconds"]
                values, counts = zip(*found["buckets"])
                self.assertEqual(sum(counts), found["count"])
                self.assertEqual((list(values), min(counts) > 0), (sorted(set(values)), True))
                self.assertEqual(values[-1], found["max"])
                for name, thousandths in (("p50", 500), ("p99", 990), ("p999", 999)):
                    # A bucket's highest value is never below what it holds.
                    value = latency.percentile([sample], thousandths) * 1_000
                    self.assertGreaterEqual(round(value), found[name])
                    self.assertLess(value - found[name], value / self.BUCKET)


class BulkTests(OriginTests):
    def bulk(self, counted_in: pathlib.Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [GENERATOR, "bulk", "--to", f"127.0.0.1:{self.port}", "--direction", "up", "--received", counted_in,
             "--seconds", "0.2", "--warm-up", "0"], capture_output=True, text=True, timeout=60)

    def test_what_has_arrived_counts(self):
        done = self.bulk(self.received)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        total = int.from_bytes(self.received.read_bytes(), "little")
        self.assertLessEqual(json.loads(done.stdout)["count"], total)

    def test_what_was_only_sent_does_not(self):
        # Nobody counts in this file.
        done = self.bulk(self.received.with_name("another"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no progress", done.stderr)

    def test_a_word_to_stop_that_comes_with_the_request_is_heeded(self):
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(10)
            connection.sendall(SOURCE_REQUEST + b"\0")
            received = 0
            while received < 1 << 30 and (data := connection.recv(1 << 16)):
                received += len(data)
        self.assertEqual(received, 4_096, "the piece that ends a stream, and none before it")
