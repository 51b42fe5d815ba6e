"""A bridge, an authority, and the pods that a scenario puts there. Everything goes away with the scenario."""

import atexit
import os
import pathlib
import secrets
import shutil
import tempfile
import unittest

from harness import podman
from harness.load import Load
from harness.manifest import REPOSITORY, SECCOMP_PROFILES, SIDECAR_IMAGE, Manifest
from harness.pod import Pod
from harness.secret import SecretVolume

TRUST_DOMAIN = "cluster.local"
# The logs of all containers are kept here, to be read when a scenario has failed.
LOGS = REPOSITORY / ".build/e2e/logs"


class Mesh:
    """Names carry a number of this mesh's own, so that runs don't meet, and so that what is removed is ours."""

    def __init__(self, title):
        self.prefix = f"e2e-{secrets.token_hex(3)}"
        self.title = title
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        # A container's user has to get through to what is mounted from it.
        os.chmod(self.directory, 0o755)
        self.pods = []
        self.identities = {}
        self._authorities = 0
        # Whatever ends the run, nothing is left of it.
        atexit.register(self.close)
        podman.run("network", "create", "--ipv6", "--disable-dns", self.prefix)
        self.bridge = podman.inspect("network", self.prefix)["network_interface"]

    def close(self):
        atexit.unregister(self.close)
        LOGS.mkdir(parents=True, exist_ok=True)
        for pod in self.pods:
            for container in (pod.init, pod.sidecar, pod.app):
                (LOGS / f"{self.title}-{container.name}.log").write_text(container.logs, encoding="utf-8")
            # `pod rm` alone would let each container take the time that it likes to end. Of a pod that couldn't be made
            # there may be nothing, or a part.
            podman.attempt("pod", "stop", "--time", "0", pod.name)
            podman.run("pod", "rm", "--force", "--ignore", pod.name)
        for volume in podman.run("volume", "ls", "--quiet").split():
            if volume.startswith(self.prefix):
                podman.run("volume", "rm", volume)
        podman.run("network", "rm", self.prefix)
        shutil.rmtree(self.directory)

    def certify(self, *principals):
        """Certificates for the accounts `NAMESPACE/ACCOUNT`, all of a new authority.

        Returns what the Secret of each account has, from names of files to bytes. Pods that are made from now on get it.
        """
        self._authorities += 1
        directory = f"authority-{self._authorities}"
        ids = [f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{account}" for namespace, account in map(_split, principals)]
        # One more than is asked for: with a single one the tool makes no tree.
        ids.append(f"spiffe://{TRUST_DOMAIN}/ns/nobody/sa/nobody")
        podman.run(
            "run", "--rm", "--network", "none", "--user", "0", "--volume", f"{self.directory}:/work", SIDECAR_IMAGE,
            "dev-certs", "--directory", f"/work/{directory}", *ids,
        )
        issued = {}
        for principal, (namespace, account) in zip(principals, map(_split, principals)):
            files = (self.directory / directory / "ns" / namespace / "sa" / account).iterdir()
            issued[principal] = {file.name: file.read_bytes() for file in files}
        self.identities.update(issued)
        return issued

    def manifest(self, name, configuration=None):
        return Manifest(f"{self.prefix}-{name}", configuration)

    def play(self, manifest, principal, start=True, ready=True):
        """Makes a pod of a manifest.

        `principal`: whose certificate the sidecar has, `NAMESPACE/ACCOUNT`. `start`: otherwise its containers are made
        and not started. `ready`: waits until the sidecar says that it is.
        """
        name = manifest.pod["metadata"]["name"]
        file = self.directory / f"{name}.yaml"
        secret = SecretVolume(self.directory / f"{name}-identity")
        secret.write(self.identities[principal])
        file.write_text(manifest.for_podman(secret.directory), encoding="utf-8")
        pod = Pod(name, self.prefix, secret)
        self.pods.append(pod)
        podman.run(
            "kube", "play", "--network", self.prefix, "--seccomp-profile-root", str(SECCOMP_PROFILES), "--start=false",
            str(file),
        )
        for volume in manifest.shared_volumes:
            # The kubelet makes an emptyDir for everybody; Podman makes it for the user of who mounts it first.
            os.chmod(podman.inspect("volume", volume)["Mountpoint"], 0o777)
        if start:
            pod.start()
            if ready:
                pod.await_ready()
        return pod


def _split(principal):
    namespace, account = principal.split("/")
    return namespace, account


class MeshTestCase(unittest.TestCase):
    """A scenario: its class makes the pods once, its tests use them in any order."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mesh = Mesh(cls.__name__)
        cls.addClassCleanup(cls.mesh.close)

    @classmethod
    def play_server(cls, name="server", principal="shop/server", **options):
        """A pod whose app is nginx, as Tests/e2e/app/nginx.conf sets it up."""
        return cls.mesh.play(cls.mesh.manifest(name), principal, **options)

    @classmethod
    def play_client(cls, name="client", principal="shop/client", configuration=None, **options):
        """A pod whose app does nothing by itself; tests run curl in it."""
        manifest = cls.mesh.manifest(name, configuration)
        manifest.app["command"] = ["sleep", "infinity"]
        return cls.mesh.play(manifest, principal, **options)

    def load(self, pod, url, length, **options):
        """Begins a load that has had its first answer, and ends it with the test."""
        load = Load(pod, url, length, **options)
        self.addCleanup(load.abandon)
        load.await_first()
        return load
