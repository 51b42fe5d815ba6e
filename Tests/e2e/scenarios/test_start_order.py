"""Goal: an app that calls out as its first act succeeds, whichever of the containers starts first.

Method: containers are started one at a time, so that "first" is no matter of luck: as the kubelet does in either form,
and the app before its sidecar. That an app which doesn't wait is refused then, rather than let through in the clear,
is the control.
"""

from harness import kubelet, waiting
from harness.mesh import MeshTestCase

# One attempt. Its log says whether the app has begun.
CALL = "echo begun; curl --silent --show-error --fail --max-time 20 {url}"


class StartOrder(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/client")
        cls.server = cls.play_server()

    def make(self, name, script):
        manifest = self.mesh.manifest(name)
        manifest.app["command"] = ["sh", "-c", script.format(url=self.server.url(f"/hello?{name}"))]
        manifest.restart_policy = "Never"
        return self.mesh.play(manifest, "shop/client", start=False)

    def await_begun(self, pod):
        waiting.until(lambda: "begun" in pod.app.logs, "the app begins")

    def expect_success(self, pod):
        self.assertEqual(pod.app.await_end(), 0, pod.app.last_words)
        self.assertIn("hello from the app", pod.app.logs)

    def test_the_sidecar_first_by_its_post_start_hook(self):
        pod = self.make("plain", CALL)
        kubelet.start_plain(pod)
        self.expect_success(pod)

    def test_the_sidecar_first_by_its_startup_probe(self):
        pod = self.make("native", CALL)
        kubelet.start_native(pod)
        self.expect_success(pod)

    def test_the_app_first_waits(self):
        pod = self.make("waits", "echo begun; sidecar-proxy wait && " + CALL)
        kubelet.start_init(pod)
        pod.app.start()
        self.await_begun(pod)
        self.assertFalse(pod.sidecar.state.running)
        pod.sidecar.start()
        self.expect_success(pod)

    def test_the_app_first_is_refused_rather_than_let_through(self):
        pod = self.make("impatient", CALL)
        kubelet.start_init(pod)
        pod.app.start()
        curl_cannot_connect = 7
        self.assertEqual(pod.app.await_end(), curl_cannot_connect, pod.app.last_words)
        self.assertNotIn("impatient", self.server.app.logs)

    def test_everything_at_once(self):
        """As Podman starts a pod."""
        pod = self.make("at-once", "sidecar-proxy wait && " + CALL)
        pod.start()
        self.expect_success(pod)
