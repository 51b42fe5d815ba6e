"""The pods of the scenarios: deploy/pod/plain.yaml with another app in it, and what Podman 4.3 can't read put
otherwise.

What is played is the manifest that users start from, so that a mistake in it fails here.
"""

import copy
import pathlib

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PLAIN = REPOSITORY / "deploy/pod/plain.yaml"
SECCOMP_PROFILES = REPOSITORY / "deploy/seccomp"

SIDECAR_IMAGE = "localhost/sidecar-proxy:dev"
APP_IMAGE = "localhost/sidecar-proxy-e2e-app:dev"
SIDECAR, INIT, APP = "sidecar-proxy", "sidecar-proxy-init", "app"


def default_configuration():
    """The sidecar.yaml of deploy/pod/plain.yaml, as a tree."""
    config_map, _ = _documents()
    return yaml.safe_load(config_map["data"]["sidecar.yaml"])


def _documents():
    config_map, pod = yaml.safe_load_all(PLAIN.read_text(encoding="utf-8"))
    return config_map, pod


class Manifest:
    """A ConfigMap with the sidecar's configuration, and a pod with one app."""

    def __init__(self, name, configuration=None):
        self.config_map, self.pod = copy.deepcopy(_documents())
        self.config_map["metadata"]["name"] = f"{name}-config"
        self.pod["metadata"]["name"] = name
        self.spec = self.pod["spec"]
        self.app["image"] = APP_IMAGE
        # With Always, Podman repeats the init containers for ever.
        self.restart_policy = "OnFailure"
        self.volume("sidecar-proxy-config")["configMap"]["name"] = f"{name}-config"
        if configuration is not None:
            text = configuration if isinstance(configuration, str) else yaml.safe_dump(configuration)
            self.config_map["data"]["sidecar.yaml"] = text

    def container(self, name):
        return next(one for one in self.spec["initContainers"] + self.spec["containers"] if one["name"] == name)

    def volume(self, name):
        return next(one for one in self.spec["volumes"] if one["name"] == name)

    @property
    def app(self):
        return self.container(APP)

    @property
    def sidecar(self):
        return self.container(SIDECAR)

    def use_runtime_default_seccomp(self):
        """As deploy/kustomize/seccomp-runtime-default does."""
        self.sidecar["securityContext"]["seccompProfile"] = {"type": "RuntimeDefault"}

    def remove_redirection(self):
        """As deploy/kustomize/without-redirection does."""
        self.spec["initContainers"] = []

    @property
    def shared_volumes(self):
        """The names of its emptyDirs."""
        return [volume["name"] for volume in self.spec["volumes"] if "emptyDir" in volume]

    def share(self, name, mounts):
        """Adds an emptyDir. `mounts`: from containers' names to the paths at which they see it."""
        # Podman makes a named volume of it, and names are the whole machine's.
        volume = f"{self.pod['metadata']['name']}-{name}"
        self.spec["volumes"].append({"name": volume, "emptyDir": {}})
        for container, path in mounts.items():
            self.container(container).setdefault("volumeMounts", []).append({"name": volume, "mountPath": path})

    def mount_files(self, container, path, directory):
        """Lets a container see a directory of the host's, read-only."""
        name = f"files-{len(self.spec['volumes'])}"
        self.spec["volumes"].append({"name": name, "hostPath": {"path": str(directory), "type": "Directory"}})
        mount = {"name": name, "mountPath": path, "readOnly": True}
        self.container(container).setdefault("volumeMounts", []).append(mount)

    def for_podman(self, identity):
        """The text for `podman kube play`. `identity`: the directory that stands for the Secret's volume."""
        pod = copy.deepcopy(self.pod)
        spec = pod["spec"]
        spec["restartPolicy"] = self.restart_policy
        for container in spec["initContainers"] + spec["containers"]:
            # Podman would run curl in the container, which has none; harness/kubelet.py plays these.
            for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
                container.pop(key, None)
            # A port of a container would be taken as one of the host's.
            container.pop("ports", None)
            # Podman 4.3 knows seccomp profiles as annotations only, as Kubernetes once did.
            profile = container.get("securityContext", {}).pop("seccompProfile", None)
            if profile is not None:
                name = f"container.seccomp.security.alpha.kubernetes.io/{container['name']}"
                pod["metadata"]["annotations"][name] = {
                    "RuntimeDefault": lambda: "runtime/default",
                    # The kubelet's directory has profiles/, the repository hasn't.
                    "Localhost": lambda: "localhost/" + pathlib.Path(profile["localhostProfile"]).name,
                }[profile["type"]]()
        for volume in spec["volumes"]:
            # Podman 4.3 mounts a Secret's values as base64, and once and for all; harness/secret.py does it.
            if "secret" in volume:
                del volume["secret"]
                volume["hostPath"] = {"path": str(identity), "type": "Directory"}
        return yaml.safe_dump_all([self.config_map, pod])
