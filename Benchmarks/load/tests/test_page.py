"""Goal: the page says what was measured, by what, and how it compares. Method: the part of it that comes from a run, made of
made-up results."""

import unittest

from harness import page

from .figures import counted, timed

VERSIONS = {"sidecar": "0.1.0", "haproxy": "2.6", "nginx": "1.22", "envoy": "1.40", "openssl": "3.0"}


def results(sidecar: str = "aaaaaaaaaaaa") -> dict:
    return {
        "begun": "2026-11-26T13:00:00+00:00", "checkout": "v1-2-gabcdef0",
        "builds": {"sidecar-proxy": sidecar, "sidecar-load": "bbbbbbbbbbbb", "relay-floor": "cccccccccccc"},
        "options": {"quick": False, "rounds": 3, "seconds": 0.2, "ownNetwork": True, "canStayAwake": True, "openFilesMax": 20_000},
        "machine": {
            "processor": "a processor", "isVirtual": True, "cores": 2, "memoryBytes": 2**30, "kernel": "6.1",
            "congestionControl": "reno"},
        "versions": {"clear": VERSIONS, "mtls": VERSIONS}, "settings": {}, "memory": [], "growth": [], "checks": [],
        "counts": {},
        "samples": [{**one, "attempts": 1} for one in counted("sidecar", [1] * 3) + counted("nginx", [1] * 3) + timed("nginx", [[1]] * 6)]}


class PageTests(unittest.TestCase):
    def test_builds_stand_by_their_content_and_the_checkout_by_itself(self):
        text = page.about(results())
        for line in ("| clear | 0.1.0 | 2.6 |",
                     "| built here | sidecar-proxy | sidecar-load | relay-floor | checkout (git describe) |",
                     "| SHA-256 begins with | `aaaaaaaaaaaa` | `bbbbbbbbbbbb` | `cccccccccccc` | v1-2-gabcdef0 |"):
            self.assertIn(line, text)

    def test_whether_cores_halted_stands_beside_what_depends_on_it(self):
        asleep = results()
        asleep["options"]["canStayAwake"] = False
        self.assertIn("(fixed rate 6 of 1.1 s, on a core that doesn't halt)", page.about(results()))
        self.assertIn("on a core that halts as elsewhere", page.about(asleep))

    def test_two_runs_of_other_builds_do_not_pass_for_two_of_one(self):
        def said(earlier: dict) -> str:
            return page.section(results(), [earlier], [], "performance").split("### The same again")[1]

        self.assertIn(
            "of 0.1.0 (sidecar-proxy `aaaaaaaaaaaa`, sidecar-load `bbbbbbbbbbbb`, relay-floor `cccccccccccc`), with",
            said(results()))
        self.assertIn("`dddddddddddd`", said(results("dddddddddddd")))
