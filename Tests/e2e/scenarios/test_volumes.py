"""Goal: the sidecar and the app share volumes: the app listens on a Unix socket in an emptyDir and nowhere else, and
the access log, in another one, is rotated by size and opened anew on SIGHUP.

Method: the configuration of deploy/examples/volumes, without redirection, with the app's nginx.conf from there. The
log's limit is lowered, so that it is reached.
"""

import json

from harness import waiting
from harness.manifest import APP, REPOSITORY, SIDECAR
from harness.mesh import MeshTestCase

import yaml

EXAMPLE = REPOSITORY / "deploy/examples/volumes"
DIRECTORY = "/var/log/sidecar"
# The least that may be set; a line has about 550 bytes.
LIMIT = 64 * 1024
REQUESTS = 150
INBOUND_PORT = 15006


class Volumes(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/files", "shop/client")
        configuration = yaml.safe_load((EXAMPLE / "sidecar.yaml").read_text(encoding="utf-8"))
        configuration["accessLog"]["maxSize"] = f"{LIMIT // 1024}KiB"
        manifest = cls.mesh.manifest("files", configuration)
        manifest.remove_redirection()
        manifest.share("socket", {APP: "/run/app", SIDECAR: "/run/app"})
        manifest.share("access-log", {APP: DIRECTORY, SIDECAR: DIRECTORY})
        site = cls.mesh.directory / "site"
        site.mkdir()
        (site / "app.conf").write_text((EXAMPLE / "nginx.conf").read_text(encoding="utf-8"), encoding="utf-8")
        manifest.mount_files(APP, "/etc/nginx/conf.d", site)
        cls.server = cls.mesh.play(manifest, "shop/files")
        # Clients come to the inbound port by themselves: a Service's targetPort leads there.
        client = {
            "listeners": [{
                "name": "outbound", "direction": "outbound", "bind": "127.0.0.1:15001",
                "target": f"{cls.server.ipv4}:{INBOUND_PORT}",
                "mesh": [{"principals": ["spiffe://cluster.local/ns/shop/sa/files"]}],
            }],
        }
        manifest = cls.mesh.manifest("client", configuration=cls.with_identity(client))
        manifest.remove_redirection()
        manifest.app["command"] = ["sleep", "infinity"]
        cls.client = cls.mesh.play(manifest, "shop/client")

    @staticmethod
    def with_identity(configuration):
        files = {"certificate": "tls.crt", "privateKey": "tls.key", "trustBundle": "ca.crt"}
        configuration["identity"] = {key: f"/var/run/sidecar/tls/{name}" for key, name in files.items()}
        configuration["metrics"] = {"bind": "[::]:15020"}
        return configuration

    def get(self, count=1):
        """So many requests, each with a connection of its own."""
        answer = self.client.get(
            f"http://127.0.0.1:15001/?[1-{count}]", "--fail", "--header", "Connection: close", "--output", "/dev/null"
        )
        self.assertEqual(answer.returncode, 0, answer.stderr)

    def files(self):
        """The log's files, as the app's container sees them, newest first: name, size."""
        listing = self.server.app.run("find", DIRECTORY, "-name", "access.log*", "-printf", r"%f %s\n")
        return sorted((line.split()[0], int(line.split()[1])) for line in listing.splitlines())

    def lines(self, pattern):
        """Of all files of the log that the pattern names."""
        return [json.loads(line) for line in self.server.app.run("sh", "-c", f"cat {DIRECTORY}/{pattern}").splitlines()]

    def await_all_lines(self):
        """Waits until there is a line for each connection that has ended."""
        closed = self.server.metrics.sum("sidecar_connections_closed_total")
        waiting.until(lambda: len(self.lines("access.log*")) == closed, f"{closed} lines in the log")

    def test_the_app_is_reached_over_its_socket(self):
        answer = self.client.get("http://127.0.0.1:15001/")
        self.assertIn("Welcome to nginx", answer.stdout, answer.stderr)
        self.await_all_lines()
        for line in self.lines("access.log"):
            self.assertEqual(line["upstream"], "unix:/run/app/app.sock")
            self.assertEqual(line["principal"], "spiffe://cluster.local/ns/shop/sa/client")

    def test_the_log_is_rotated_by_size(self):
        rotations = self.server.metrics.sum("sidecar_access_log_rotations_total", result="success")
        self.get(REQUESTS)
        self.await_all_lines()
        metrics = self.server.metrics
        self.assertGreater(metrics.sum("sidecar_access_log_rotations_total", result="success"), rotations)
        self.assertEqual(metrics.sum("sidecar_access_log_dropped_total"), 0)
        files = self.files()
        self.assertLessEqual({"access.log", "access.log.1"}, {name for name, _ in files})
        for name, size in files:
            self.assertLessEqual(size, LIMIT, name)

    def test_the_log_is_opened_anew_on_sighup(self):
        self.get()
        self.await_all_lines()
        self.server.app.run("mv", f"{DIRECTORY}/access.log", f"{DIRECTORY}/access.log-renamed")
        before = len(self.lines("access.log-renamed"))
        # The control: a rename alone changes nothing.
        self.get()
        self.await_all_lines()
        self.assertEqual(len(self.lines("access.log-renamed")), before + 1)
        self.server.sidecar.signal("HUP")
        waiting.until(lambda: "access.log" in dict(self.files()), "a new file of the old name")
        self.get()
        self.await_all_lines()
        self.assertEqual(len(self.lines("access.log")), 1)
        self.assertEqual(len(self.lines("access.log-renamed")), before + 1)
