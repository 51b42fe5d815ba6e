"""Goal: candidates are started as what they are measured as. Method: the floor itself, which refuses a command line that it
doesn't know, is the only one whose settings are arguments; what it is given is looked at."""

import pathlib
import tempfile
import unittest

from harness.places import Place
from harness.settings import Identity, Leg, floor

CLIENT = Identity("client.crt", "client.key", "ca.crt", "spiffe://server")
SERVER = Identity("server.crt", "server.key", "ca.crt", "spiffe://client")


class FloorTests(unittest.TestCase):
    def arguments(self, kind: str, **leg) -> list[str]:
        program = pathlib.Path(tempfile.gettempdir(), "relay-floor")
        place = Place(None)
        self.addCleanup(place.close)
        return floor.command(Leg("name", ((1, 2),), "messages", program=program, **leg), place, kind)[1:]

    def test_in_the_clear(self):
        self.assertEqual(self.arguments("io_uring+ready"), ["io_uring+ready", "1", "2"])
        self.assertEqual(self.arguments("epoll", workers=2), ["epoll+workers=2", "1", "2"])

    def test_a_pair_in_the_clear_beside_pairs_with_tls(self):
        self.assertEqual(self.arguments("epoll", terminates=CLIENT), ["epoll", "1", "2"])
        self.assertEqual(self.arguments("epoll", originates=CLIENT), ["epoll", "1", "2"])

    def test_with_tls(self):
        files = ["client.crt", "client.key", "ca.crt"]
        self.assertEqual(self.arguments("tls", terminates=CLIENT), ["tls-terminate", "1", "2", *files])
        self.assertEqual(self.arguments("tls+reno", originates=CLIENT), ["tls-originate+reno", "1", "2", *files])

    def test_handshakes_have_both_sides(self):
        place = Place(None)
        self.addCleanup(place.close)
        self.assertEqual(
            floor.handshakes(pathlib.Path("/relay-floor"), place, 0.2, CLIENT, SERVER)[1:],
            ["handshakes", "0.2", "client.crt", "client.key", "ca.crt", "server.crt", "server.key", "ca.crt"])
