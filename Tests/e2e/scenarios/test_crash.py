"""Goal: a sidecar that is killed under load is started again, traffic resumes, and the app notices nothing but
connections that end. While it is away nothing gets past it.

Method: SIGKILL to the sidecar's process, as the kernel's memory killer does; the restart is the container engine's.
"""

from harness import waiting
from harness.load import SMALL, SMALL_LENGTH
from harness.mesh import MeshTestCase
from harness.wire import Capture

# So many successes in a row, from all clients, are no remainder of before.
RESUMED = 50


class Crash(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/client")

    def kill_under_load(self, killed, client, server):
        load = self.load(client, server.url(SMALL), SMALL_LENGTH)
        before = {container.name: container.state for container in (killed.app, killed.sidecar)}
        killed.sidecar.crash()
        waiting.until(
            lambda: killed.sidecar.state.running and killed.sidecar.state.pid != before[killed.sidecar.name].pid,
            "the sidecar's container is started again",
        )
        killed.await_ready()
        opened = server.metrics.sum("sidecar_connections_opened_total", listener="inbound")
        waiting.until(
            lambda: server.metrics.sum("sidecar_connections_opened_total", listener="inbound") > opened + RESUMED,
            "traffic goes on",
        )
        report = load.stop()
        # The control: it was away, and clients saw that.
        self.assertGreater(report["failed"], 0, report)
        self.assertGreater(report["succeeded_since_failure"], RESUMED, report)
        self.assertEqual(killed.app.state, before[killed.app.name])
        self.assertEqual(killed.sidecar.state.restarts, before[killed.sidecar.name].restarts + 1)

    def test_the_servers_sidecar(self):
        client, server = self.play_client("client-1"), self.play_server("server-1")
        bridge = Capture(self.mesh.bridge, self.mesh.directory / "bridge.pcap")
        self.addCleanup(bridge.abandon)
        self.kill_under_load(server, client, server)
        bridge.stop(server.ipv4)
        # The redirection is the pod's, and outlives the sidecar: what found nobody was refused.
        self.assertNotIn(b"GET " + SMALL.encode(), bridge.content)

    def test_the_clients_sidecar(self):
        client, server = self.play_client("client-2"), self.play_server("server-2")
        self.kill_under_load(client, client, server)
