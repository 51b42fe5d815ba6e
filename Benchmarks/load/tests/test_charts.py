"""Goal: charts are what a browser can draw. Method: all of them, drawn from made-up samples and read as XML."""

import pathlib
import re
import tempfile
import unittest
from xml.etree import ElementTree

from harness import charts, growth

from .figures import counted, grown, held, timed

FIGURES = {
    "samples": [
        *(one for table in ("clear", "mtls") for name in ("sidecar", "nginx", "floor-epoll")
          for one in counted(name, [100, 120, 125], table=table)),
        *(one for name in ("direct", "sidecar", "nginx") for one in timed(name, [[50], [60], [70]]))],
    "memory": held("sidecar", [8, 9, 12]),
    "growth": [
        grown(name, 0, kind, "round trip", cost=12.5, connections=count)
        for name in growth.NAMES for kind in ("busy", "held") for count in (64, 1_000)]}


class ChartTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.written = charts.write_all(FIGURES, pathlib.Path(directory.name))
        self.elements = [
            (name, element) for name, _ in self.written
            for element in ElementTree.parse(pathlib.Path(directory.name, name)).iter()]

    def test_every_chart_is_drawn(self):
        names = {name for name, _ in self.written}
        self.assertEqual(names, {"clear.svg", "mtls.svg", "latency.svg", "memory.svg", "growth.svg"})

    def test_every_color_is_one(self):
        for name, element in self.elements:
            for key in ("fill", "stroke"):
                self.assertRegex(element.get(key, "none"), re.compile(r"none$|#[0-9a-f]{6}$"), f"{name}: {element.tag}")

    def test_letters_have_one_of_two_sizes_and_one_color(self):
        looks = {
            (element.get("font-size"), element.get("fill")) for _, element in self.elements if element.tag.endswith("}text")}
        self.assertEqual(looks, {(str(size), charts.INK) for size in (charts.TEXT_SIZE, charts.BAR_TEXT_SIZE)})
