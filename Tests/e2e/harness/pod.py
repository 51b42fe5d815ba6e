"""A pod that `podman kube play` has made: its containers, its addresses, what it says."""

import dataclasses
import functools
import json
import os
import signal

from harness import podman, waiting
from harness.manifest import APP, INIT, SIDECAR
from harness.metrics import Metrics, fetch

METRICS_PORT = 15020
APP_PORT = 8080
LAST_WORDS = 20


@dataclasses.dataclass(frozen=True)
class State:
    """Of a container, as Podman tells it."""

    running: bool
    exit_code: int
    pid: int
    started: str
    restarts: int


class Container:
    """One of a pod's containers. Podman calls it POD-NAME."""

    def __init__(self, name):
        self.name = name

    @property
    def state(self):
        details = podman.inspect("container", self.name)
        state = details["State"]
        return State(
            state["Running"], state["ExitCode"], state["Pid"], state["StartedAt"], details.get("RestartCount", 0)
        )

    @property
    def logs(self):
        process = podman.attempt("logs", self.name)
        return process.stdout + process.stderr

    @property
    def last_words(self):
        """For messages: the log's end."""
        return "\n".join(self.logs.splitlines()[-LAST_WORDS:])

    def attempt(self, *command):
        """Runs a program in the container and returns the finished process, whatever became of it."""
        return podman.attempt("exec", self.name, *command)

    def run(self, *command):
        """Runs a program in the container and returns what it printed; it must succeed."""
        return podman.run("exec", self.name, *command)

    def start_program(self, *command):
        """Starts a program in the container, with pipes to and from it."""
        return podman.start("exec", "--interactive", self.name, *command)

    def start(self):
        podman.run("start", self.name)

    def signal(self, name):
        """Podman starts no container again that it has been told to end; `crash` is another thing."""
        podman.run("kill", "--signal", name, self.name)

    def crash(self):
        """SIGKILL, as the kernel's memory killer sends it."""
        os.kill(self.state.pid, signal.SIGKILL)

    def await_end(self):
        """Waits until it has ended for good, and returns its exit code."""
        return int(podman.run("wait", self.name).split()[-1])


class Pod:
    def __init__(self, name, network, secret):
        self.name = name
        # What its sidecar has mounted as its identity.
        self.secret = secret
        self._network = network
        self.init = Container(f"{name}-{INIT}")
        self.sidecar = Container(f"{name}-{SIDECAR}")
        self.app = Container(f"{name}-{APP}")

    def _address(self, key):
        infra = podman.inspect("pod", self.name)["InfraContainerID"]
        return podman.inspect("container", infra)["NetworkSettings"]["Networks"][self._network][key]

    @functools.cached_property
    def ipv4(self):
        return self._address("IPAddress")

    @functools.cached_property
    def ipv6(self):
        return self._address("GlobalIPv6Address")

    @property
    def hosts(self):
        """Its addresses as URLs have them."""
        return [self.ipv4, f"[{self.ipv6}]"]

    @property
    def status(self):
        """`Running`, `Degraded` when a container has ended, `Exited` when all have."""
        return podman.inspect("pod", self.name)["State"]

    def start(self):
        podman.run("pod", "start", self.name)

    def url(self, path, host=None):
        return f"http://{host or self.ipv4}:{APP_PORT}{path}"

    # What the kubelet and Prometheus do, from outside of the pod.

    def endpoint(self, path, host=None):
        return f"http://{host or self.ipv4}:{METRICS_PORT}{path}"

    def is_ready(self):
        return all(fetch(self.endpoint("/healthz/ready", host)) is not None for host in self.hosts)

    def await_ready(self):
        """Over both families: an IPv6 address of a new pod is tentative for a while."""
        waiting.until(self.is_ready, lambda: f"{self.name} is ready; its sidecar says:\n{self.sidecar.last_words}")

    @property
    def metrics(self):
        text = fetch(self.endpoint("/metrics"))
        if text is None:
            raise AssertionError(f"{self.name} has no metrics; its sidecar says:\n{self.sidecar.last_words}")
        return Metrics(text)

    @property
    def access_log(self):
        """The lines that the sidecar has written to its standard output, as trees."""
        return [json.loads(line) for line in self.sidecar.logs.splitlines() if line.startswith("{")]

    def await_access_log(self, condition, what):
        """Waits until a line meets the condition: it is written a moment after the connection has ended."""
        return waiting.until(
            lambda: next((line for line in self.access_log if condition(line)), None),
            lambda: f"{what}; the log of {self.name} is:\n{self.sidecar.last_words}",
        )

    # What its app does, in the network namespace that it shares with the sidecar.

    def get(self, url, *options):
        """Asks for a URL with curl in the app's container, as an app that knows of no sidecar would."""
        return self.app.attempt("curl", "--silent", "--show-error", "--max-time", "20", *options, url)

    @property
    def certificates(self):
        """What the sidecar's control endpoint says, which is on loopback."""
        return json.loads(self.get("http://127.0.0.1:15000/certificates").stdout)
