"""Goal: what the floor says of handshakes is what it did, and it ends when it can't do it. Method: the real program, between
identities of the sidecar's own authority, and of two that don't know each other."""

import pathlib
import unittest

from harness import BenchmarkFailure
from harness.candidates import Ports, Programs, Starter
from harness.places import host
from harness.run import REPOSITORY
from harness.settings import Identity
from harness.works import HANDSHAKES

BATCH_COUNT = 16
PROGRAMS = Programs(
    sidecar=REPOSITORY / ".build/release/sidecar-proxy", load=pathlib.Path(),
    floor=REPOSITORY / "Benchmarks/.build/release/relay-floor", envoy=pathlib.Path())


class HandshakeTests(unittest.TestCase):
    def starter(self) -> Starter:
        place = host()
        self.addCleanup(place.close)
        return Starter(PROGRAMS, place, {0}, Ports(20_000), ())

    def test_they_are_counted_with_the_processor_time_of_both_sides(self):
        sample = self.starter().start(HANDSHAKES, "messages", mutual_tls=True).alone(0.2)
        self.assertEqual((sample["unit"], sample["count"] % BATCH_COUNT), ("connections", 0))
        self.assertGreater(sample["count"], 0)
        self.assertGreaterEqual(sample["seconds"], 0.2)
        self.assertGreater(sample["cpuSeconds"], 0)
        # The two have one core.
        self.assertLess(sample["cpuSeconds"], 1.1 * sample["seconds"])

    def test_a_side_that_trusts_somebody_else_ends_them(self):
        starter, other = self.starter(), self.starter()
        client, server = starter._identity_pair()
        _, stranger = other._identity_pair()
        starter._identities = (client, Identity(server.certificate, server.private_key, stranger.trust_bundle, server.peer))
        with self.assertRaisesRegex(BenchmarkFailure, f"{HANDSHAKES}: relay-floor: "):
            starter.start(HANDSHAKES, "messages", mutual_tls=True).alone(0.2)
