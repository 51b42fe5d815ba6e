"""Goal: a serving pod that is terminated under load loses no request.

Method: the kubelet's order of signals (harness/kubelet.py) for both forms of the sidecar. Clients ask without a pause,
over connections of their own and over kept ones, and one of them for an answer that takes seconds. They stop while the
app is in its preStop hook: that is when a cluster's endpoints have told everybody that the pod is going. Every answer
has to be whole, and both containers have to end with exit code 0.
"""

import time

from harness import kubelet
from harness.load import SLOW, SLOW_LENGTH, SMALL, SMALL_LENGTH
from harness.manifest import default_configuration
from harness.mesh import MeshTestCase

# How long endpoints take to vanish, and how long the app's preStop hook waits for that: seconds, and well within the
# `drain.grace` of 5, so that a machine that is busy with other things is no reason for a refused connection.
ENDPOINTS_VANISH = 1
PRE_STOP = 2


class Termination(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/client")
        cls.client = cls.play_client()

    def terminate(self, order, server):
        """Terminates a server under load. Returns both exit codes, and the clients' reports."""
        loads = [
            self.load(self.client, server.url(SMALL), SMALL_LENGTH),
            self.load(self.client, server.url(SMALL), SMALL_LENGTH, keep_alive=True),
            self.load(self.client, server.url(SLOW), SLOW_LENGTH, clients=2),
        ]

        def pre_stop():
            time.sleep(ENDPOINTS_VANISH)
            for load in loads:
                load.stop_asking()
            # What has begun goes on through all that follows.
            time.sleep(PRE_STOP - ENDPOINTS_VANISH)

        codes = order(server, pre_stop)
        return codes, [load.stop() for load in loads]

    def check(self, order, name):
        server = self.play_server(name)
        codes, reports = self.terminate(order, server)
        self.assertEqual(codes, (0, 0), server.sidecar.last_words)
        for report in reports:
            self.assertGreater(report["succeeded"], 0)
            # A kept connection that the sidecar had cut between two requests would be one that was asked again.
            self.assertEqual((report["failed"], report["resent"]), (0, 0), report)
        reasons = {line["reason"] for line in server.access_log}
        self.assertLessEqual(reasons, {"downstream_closed", "upstream_closed"})

    def test_native_form(self):
        self.check(kubelet.terminate_native, "native")

    def test_plain_form(self):
        self.check(kubelet.terminate_plain, "plain")

    def test_a_sidecar_that_drains_nothing_is_found_out(self):
        """The control."""
        configuration = {**default_configuration(), "drain": {"grace": "0s", "deadline": "0s"}}
        server = self.mesh.play(self.mesh.manifest("cuts", configuration), "shop/server")
        _, reports = self.terminate(kubelet.terminate_plain, server)
        for report in reports:
            self.assertGreater(report["failed"], 0, report)
