"""Goal: the certificates in the Secret's volume are replaced, down to a new authority, and no request fails meanwhile;
then the old authority is worth nothing any more.

Method: the volume changes as the kubelet changes it, by one rename, in the three steps of any such move: both pods
trust both authorities, both show the new one's certificates, both trust the new one alone. A pod with a certificate of
the old authority calls before and after.
"""

from harness import waiting
from harness.load import SMALL, SMALL_LENGTH
from harness.mesh import MeshTestCase

ACCOUNTS = ("shop/server", "shop/client", "shop/left-behind")


class Certificates(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.old = cls.mesh.certify(*ACCOUNTS)
        cls.server = cls.play_server()
        cls.client = cls.play_client()
        cls.left_behind = cls.play_client("left-behind", "shop/left-behind")
        cls.new = cls.mesh.certify(*ACCOUNTS)

    def replace(self, pod, files):
        """Gives a pod's volume these files, and waits until the sidecar has taken them over."""
        reloads = "sidecar_certificate_reloads_total"
        before = pod.metrics.sum(reloads, result="success")
        pod.secret.write(files)
        waiting.until(
            lambda: pod.metrics.sum(reloads, result="success") > before,
            lambda: f"{pod.name} has taken the files over; its sidecar says:\n{pod.sidecar.last_words}",
        )
        self.assertEqual(pod.metrics.sum(reloads, result="failure"), 0, pod.sidecar.last_words)

    def test_a_new_authority_under_load(self):
        pods = {"shop/server": self.server, "shop/client": self.client}
        self.assertEqual(self.left_behind.get(self.server.url(SMALL)).returncode, 0)
        shown = {principal: pod.certificates["chain"][0]["sha256"] for principal, pod in pods.items()}
        both = self.old["shop/server"]["ca.crt"] + self.new["shop/server"]["ca.crt"]
        loads = [
            self.load(self.client, self.server.url(SMALL), SMALL_LENGTH),
            self.load(self.client, self.server.url(SMALL), SMALL_LENGTH, keep_alive=True),
        ]
        for principal, pod in pods.items():
            self.replace(pod, {**self.old[principal], "ca.crt": both})
        for principal, pod in pods.items():
            self.replace(pod, {**self.new[principal], "ca.crt": both})
        for principal, pod in pods.items():
            self.replace(pod, self.new[principal])
        # With the new ones alone, too.
        self.assertEqual(self.client.get(self.server.url(SMALL)).returncode, 0)
        for report in (load.stop() for load in loads):
            self.assertGreater(report["succeeded"], 0)
            self.assertEqual((report["failed"], report["resent"]), (0, 0), report)

        for principal, pod in pods.items():
            self.assertNotEqual(pod.certificates["chain"][0]["sha256"], shown[principal])
        answer = self.left_behind.get(self.server.url(SMALL))
        self.assertNotEqual(answer.returncode, 0, "the old authority is still trusted")
        self.assertEqual(answer.stdout, "")
