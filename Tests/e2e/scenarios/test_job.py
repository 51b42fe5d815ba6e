"""Goal: the pod of a Job is over when its app is: in the plain form because the app's last act is to tell the sidecar,
in the native form because the kubelet does.

Method: an app that fetches something and ends. The native form, which Podman 4.3 doesn't know, is played by
harness/kubelet.py; what Kubernetes makes of the manifests is deploy/check.sh's business.
"""

from harness import kubelet, waiting
from harness.mesh import MeshTestCase

FETCH = "curl --silent --fail --max-time 20 {url} --output /dev/null"
# The app's own exit code is the Job's, so that a Job that has failed is one that has failed.
PLAIN = "sidecar-proxy wait && " + FETCH + "; code=$?; sidecar-proxy shutdown; exit $code"
# Without any program of ours in the app's image.
WITH_CURL = (
    "until curl --silent --fail http://127.0.0.1:15020/healthz/ready; do sleep 0.1; done; "
    + FETCH + "; code=$?; curl --silent --request POST http://127.0.0.1:15000/shutdown; exit $code"
)


class Job(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/job")
        cls.server = cls.play_server()

    def make(self, name, script, url, **options):
        manifest = self.mesh.manifest(name)
        manifest.app["command"] = ["sh", "-c", script.format(url=url)]
        # A Job's app that fails isn't started again within its pod.
        manifest.restart_policy = "Never"
        return self.mesh.play(manifest, "shop/job", ready=False, **options)

    def test_plain_form(self):
        for name, script in [("program", PLAIN), ("curl", WITH_CURL)]:
            with self.subTest(name):
                pod = self.make(name, script, self.server.url("/hello"))
                self.assertEqual(pod.app.await_end(), 0, pod.app.last_words)
                self.assertEqual(pod.sidecar.await_end(), 0, pod.sidecar.last_words)
                waiting.until(lambda: pod.status == "Exited", lambda: f"the pod is over; it is {pod.status}")

    def test_a_job_that_fails_has_failed_and_is_over(self):
        pod = self.make("fails", PLAIN, self.server.url("/missing"))
        curl_http_error = 22
        self.assertEqual(pod.app.await_end(), curl_http_error, pod.app.last_words)
        self.assertEqual(pod.sidecar.await_end(), 0, pod.sidecar.last_words)

    def test_native_form(self):
        pod = self.make("native", FETCH, self.server.url("/hello"), start=False)
        kubelet.start_native(pod)
        self.assertEqual(pod.app.await_end(), 0, pod.app.last_words)
        # The control: nothing has told the sidecar yet.
        self.assertTrue(pod.sidecar.state.running)
        self.assertEqual(kubelet.end_sidecar(pod), 0, pod.sidecar.last_words)
        waiting.until(lambda: pod.status == "Exited", lambda: f"the pod is over; it is {pod.status}")
