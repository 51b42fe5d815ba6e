"""Goal: the image is small, runs as nobody with nothing to write to, has no shell, says what it is made of, and the
same sources give the same image.

Method: the image that the other scenarios run, looked at and run; scripts/build-image twice more.
"""

import json
import subprocess
import tempfile
import unittest

from harness import podman
from harness.manifest import REPOSITORY, SIDECAR_IMAGE

SIZE_MAX = 60_000_000
UID = "1337"
BINARY = REPOSITORY / ".build/release/sidecar-proxy"
BUILD = REPOSITORY / "scripts/build-image"
SBOM = REPOSITORY / ".build/image/sbom.cdx.json"
CANNOT_RUN = (126, 127)


def run(*command, options=(), entrypoint=None):
    """Runs a program in a container without a network and without anything that could be written to."""
    start = ["--entrypoint", entrypoint] if entrypoint else []
    return podman.attempt("run", "--rm", "--network", "none", "--read-only", *options, *start, SIDECAR_IMAGE, *command)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = podman.inspect("image", SIDECAR_IMAGE)

    def test_it_is_small(self):
        self.assertLess(self.image["Size"], SIZE_MAX)

    def test_it_runs_as_nobody_on_a_read_only_root(self):
        self.assertEqual(self.image["User"], f"{UID}:{UID}")
        self.assertEqual(self.image["Config"]["Entrypoint"], ["sidecar-proxy"])
        process = run("version", options=["--cap-drop", "all", "--security-opt", "no-new-privileges"])
        self.assertEqual(process.returncode, 0, process.stderr)

    def test_it_has_no_shell(self):
        for shell in ("sh", "bash", "dash", "busybox", "/bin/sh"):
            with self.subTest(shell):
                self.assertIn(run("-c", "true", entrypoint=shell).returncode, CANNOT_RUN)

    def test_init_without_the_capability_says_so_in_one_line(self):
        process = run("init", options=["--user", "0", "--cap-drop", "all"])
        self.assertEqual(process.returncode, 1)
        self.assertEqual(process.stderr.count("\n"), 1, process.stderr)
        self.assertIn("NET_ADMIN", process.stderr)

    def test_its_labels(self):
        labels = self.image["Labels"]
        version = run("version").stdout.strip()
        self.assertEqual(labels["org.opencontainers.image.title"], "sidecar-proxy")
        self.assertEqual(labels["org.opencontainers.image.version"], version)
        self.assertRegex(labels["org.opencontainers.image.revision"], "^[0-9a-f]{40}$")

    def test_the_bill_of_materials_is_what_is_inside(self):
        bill = json.loads(SBOM.read_text(encoding="utf-8"))
        self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.5"))
        self.assertEqual(bill["metadata"]["component"]["bom-ref"], "sha256:" + self.image["Id"])
        listed = {one["name"]: one["version"] for one in bill["components"] if one["purl"].startswith("pkg:deb/")}
        swift = {one["name"] for one in bill["components"] if one["purl"].startswith("pkg:swift/")}
        self.assertLessEqual({"swift-argument-parser", "swift-nio"}, swift)
        container = podman.run("create", SIDECAR_IMAGE)
        self.addCleanup(podman.run, "rm", container)
        with tempfile.TemporaryDirectory() as directory:
            podman.run("cp", f"{container}:/var/lib/dpkg/status.d", directory)
            output = subprocess.run(
                ["sh", "-c", f"cat {directory}/status.d/*"], capture_output=True, text=True, check=True
            ).stdout
        fields = [line.split(": ", 1) for line in output.splitlines() if line.startswith(("Package: ", "Version: "))]
        names = [value for key, value in fields if key == "Package"]
        versions = [value for key, value in fields if key == "Version"]
        self.assertEqual(listed, dict(zip(names, versions, strict=True)))
        # The reason for Debian 13: docs/image.md.
        self.assertRegex(listed["libssl3t64"], r"^3\.5\.")

    def test_two_builds_give_the_same_image(self):
        built, bills = [], []
        with tempfile.TemporaryDirectory() as directory:
            for tag in ("once", "again"):
                name, bill = f"localhost/sidecar-proxy-e2e:{tag}", f"{directory}/{tag}.json"
                self.addCleanup(podman.attempt, "image", "rm", "--force", name)
                subprocess.run([BUILD, BINARY, name, bill], check=True, capture_output=True, cwd=REPOSITORY)
                built.append(podman.inspect("image", name))
                with open(bill, "rb") as file:
                    bills.append(file.read())
        once, again = built
        self.assertEqual(again["RootFS"]["Layers"], once["RootFS"]["Layers"])
        self.assertEqual(again["Digest"], once["Digest"])
        self.assertEqual(bills[0], bills[1])
        # Versions share the first layer: the root file system without the binary.
        self.assertEqual(len(again["RootFS"]["Layers"]), 2)
