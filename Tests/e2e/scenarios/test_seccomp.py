"""Goal: under the runtime's default seccomp profile the sidecar runs on epoll, under ours on io_uring, and both carry
traffic; a sidecar that insists on io_uring where it is refused says what to do.

Method: a client and a server for each profile; the engine is read from the metric, and the kernel says that calls are
filtered. Then every system call is made under both profiles.
"""

import errno
import json

from harness import podman, waiting
from harness.load import SLOW, SLOW_LENGTH
from harness.manifest import APP_IMAGE, SECCOMP_PROFILES, Manifest, default_configuration
from harness.mesh import MeshTestCase

SECCOMP_MODE_FILTER = "2"
# io_uring_setup, io_uring_enter, io_uring_register: the same numbers on every architecture.
IO_URING_CALLS = {425, 426, 427}


class Seccomp(MeshTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh.certify("shop/server", "shop/client")
        cls.ours = cls.play_pair("ours", lambda manifest: None)
        cls.runtime_default = cls.play_pair("runtime-default", Manifest.use_runtime_default_seccomp)

    @classmethod
    def play_pair(cls, name, adapt):
        """A client and a server, whose sidecars have the same profile."""
        client, server = cls.mesh.manifest(f"{name}-client"), cls.mesh.manifest(f"{name}-server")
        client.app["command"] = ["sleep", "infinity"]
        for manifest in (client, server):
            adapt(manifest)
        return cls.mesh.play(client, "shop/client"), cls.mesh.play(server, "shop/server")

    def check(self, pair, engine):
        client, server = pair
        for host in server.hosts:
            answer = client.get(server.url(SLOW, host))
            self.assertEqual((answer.returncode, len(answer.stdout)), (0, SLOW_LENGTH), answer.stderr)
        for pod in pair:
            self.assertEqual(pod.metrics.label("sidecar_engine_info", "engine"), engine)
            with open(f"/proc/{pod.sidecar.state.pid}/status", encoding="utf-8") as file:
                self.assertIn(f"Seccomp:\t{SECCOMP_MODE_FILTER}\n", file.read())

    def test_our_profile_allows_io_uring(self):
        self.check(self.ours, "io_uring")

    def test_the_runtimes_profile_leaves_epoll(self):
        self.check(self.runtime_default, "epoll")
        # Why it isn't io_uring is said once, with the mend.
        for pod in self.runtime_default:
            lines = [line for line in pod.sidecar.logs.splitlines() if "seccomp" in line]
            self.assertEqual(len(lines), 1, pod.sidecar.last_words)
            self.assertIn("allow io_uring_setup, io_uring_enter and io_uring_register", lines[0])

    def test_the_profiles_differ_in_three_system_calls(self):
        """Every system call is made under both, by a process with as few capabilities as the sidecar."""
        outcomes = []
        for profile in ([], ["--security-opt", f"seccomp={SECCOMP_PROFILES}/sidecar-proxy.json"]):
            output = podman.run(
                "run", "--rm", "--network", "none", "--cap-drop", "all", "--user", "1337",
                "--security-opt", "no-new-privileges", *profile, APP_IMAGE, "syscalls",
            )
            outcomes.append(json.loads(output))
        runtime_default, ours = outcomes
        differing = {int(number): (runtime_default[number], ours[number])
                     for number in ours if ours[number] != runtime_default[number]}
        self.assertEqual(set(differing), IO_URING_CALLS, differing)
        for refused, allowed in differing.values():
            self.assertEqual(refused, errno.ENOSYS)
            self.assertNotEqual(allowed, errno.ENOSYS)

    def test_a_sidecar_that_insists_on_io_uring_tells_of_the_profile(self):
        configuration = {**default_configuration(), "engine": "io_uring"}
        manifest = self.mesh.manifest("insists", configuration)
        manifest.use_runtime_default_seccomp()
        pod = self.mesh.play(manifest, "shop/server", ready=False)
        message = "allow io_uring_setup, io_uring_enter and io_uring_register in the pod's seccomp profile"
        waiting.until(lambda: message in pod.sidecar.logs, lambda: f"the mend; the log is:\n{pod.sidecar.last_words}")
        self.assertFalse(pod.is_ready())
