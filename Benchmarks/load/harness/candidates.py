"""What stands between load and origin: nothing, one proxy in the clear, or a pair of proxies with mutual TLS between
them. A candidate is started for the works of a round that want the same settings, and stopped after them."""

import dataclasses
import errno
import functools
import json
import pathlib
import socket
import subprocess
from collections.abc import Callable

from . import BenchmarkFailure, processes
from .places import Place
from .settings import Identity, Leg, envoy, floor, haproxy, nginx, sidecar
from .works import HANDSHAKES, TLS_FLOOR, Work

CLIENT = "spiffe://cluster.local/ns/bench/sa/client"
SERVER = "spiffe://cluster.local/ns/bench/sa/server"

ANSWER_SECONDS = 60.0
"""More than its time that a floor without servers is waited for."""

PEERS = ("haproxy", "nginx", "envoy")
FLOORS = ("floor-epoll", "floor-io_uring", "floor-io_uring+ready", "floor-splice", TLS_FLOOR, HANDSHAKES)


@dataclasses.dataclass(frozen=True)
class Programs:
    """Binaries that no distribution has."""

    sidecar: pathlib.Path
    load: pathlib.Path
    floor: pathlib.Path
    envoy: pathlib.Path
    more_sidecars: tuple[tuple[str, pathlib.Path], ...] = ()
    """Further builds of the sidecar to compare, by name."""

    def check(self) -> None:
        for path in (self.sidecar, self.load, self.floor, self.envoy, *dict(self.more_sidecars).values()):
            if not path.exists():
                raise BenchmarkFailure(f"there is no {path}; `make bench` builds or installs what it needs")


class Ports:
    """Ports on loopback, handed out upwards from a first one that the user can choose; those that somebody else has are
    left out, as they may be where the run has no network namespace of its own."""

    def __init__(self, first: int):
        self._next = first

    def take(self) -> int:
        while True:
            self._next += 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", self._next - 1))
                    return self._next - 1
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise BenchmarkFailure(f"port {self._next - 1}: {error.strerror}; see --first-port") from None


def takes_part(name: str, work: Work, table: str) -> bool:
    """Whether a candidate does this work of a table. All proxies do everything; each floor is for a kind of work, and those
    that the command line makes up are for what others of their kind do."""
    if not name.startswith("floor-"):
        return True
    if name == HANDSHAKES:
        return name == work.part(table)
    floors = work.floors(table)
    return name in floors or name not in FLOORS and kind_of(name) in map(kind_of, floors)


def kind_of(floor: str) -> str:
    """Without its switches, as in floor-io_uring+oneshot+fixed-files."""
    return floor.split("+")[0]


def process_count(name: str, workers: int) -> int:
    """Of which a candidate consists. nginx has a master beside its workers; workers of the others but the floor's are threads."""
    return workers + 1 if name == "nginx" else workers if name.startswith("floor-") else 1


class Candidate:
    """A running candidate. `alone`: it has no ports and no servers, and does its work for so many seconds without the
    generator; what that came to is a sample."""

    def __init__(self, name: str, ports: tuple[int, ...], servers: list[processes.Server],
                 alone: Callable[[float], dict] | None = None):
        self.name = name
        self.alone = alone
        self.ports = ports
        """The way to each of the targets, in their order; the first is the origin."""
        self.servers = servers

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def pids(self) -> list[int]:
        return [pid for server in self.servers for pid in server.pids]

    def check(self) -> None:
        for server in self.servers:
            server.check()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


class Starter:
    """Starts candidates at one place, in front of one or several targets on loopback."""

    def __init__(self, programs: Programs, place: Place, cores: set[int], ports: Ports, targets: tuple[int, ...]):
        self.programs = programs
        self.place = place
        self.cores = cores
        self.ports = ports
        self.targets = targets
        self._identities: tuple[Identity, Identity] | None = None

    def direct(self) -> Candidate:
        return Candidate("direct", self.targets, [])

    def start(self, name: str, profile: str, mutual_tls: bool, workers: int = 1, cores: set[int] | None = None,
              connections: int = 4_000, **options) -> Candidate:
        """Starts a candidate by its name; with mutual TLS, a pair of it: the one that terminates first."""
        if name == HANDSHAKES:
            return Candidate(name, (), [], alone=self._shake_hands)
        command, program = self._kind(name)
        routes_in = tuple((self.ports.take(), target) for target in self.targets)
        legs = [Leg(f"{name}-{profile}", routes_in, profile)]
        if mutual_tls:
            client, server = self._identity_pair()
            routes_out = tuple((self.ports.take(), port) for port, _ in routes_in)
            legs = [
                Leg(f"{name}-{profile}-inbound", routes_in, profile, terminates=server),
                Leg(f"{name}-{profile}-outbound", routes_out, profile, originates=client)]
        servers: list[processes.Server] = []
        try:
            for leg in legs:
                leg = dataclasses.replace(
                    leg, workers=workers, connections=connections, program=program,
                    spare_ports=(self.ports.take(), self.ports.take()))
                servers.append(processes.Server(
                    leg.name, command(leg, self.place, **options), leg.routes[0][0], cores or self.cores, self.place,
                    count=process_count(name, workers)))
        except BaseException:
            for server in servers:
                server.stop()
            raise
        return Candidate(name, tuple(port for port, _ in legs[-1].routes), servers)

    def start_both_ways(self, name: str, **options) -> Candidate:
        """A single process with mutual TLS on both of its listeners: one that terminates it, and one that originates it."""
        client, server = self._identity_pair()
        command, program = self._kind(name)
        target = self.targets[0]
        leg = Leg(
            f"{name}-both", ((self.ports.take(), target), (self.ports.take(), target)), "messages", terminates=server,
            originates=client, program=program, spare_ports=(self.ports.take(), self.ports.take()))
        running = processes.Server(leg.name, command(leg, self.place, **options), leg.routes[0][0], self.cores, self.place)
        return Candidate(name, tuple(port for port, _ in leg.routes), [running])

    def _shake_hands(self, seconds: float) -> dict:
        command = floor.handshakes(self.programs.floor, self.place, seconds, *self._identity_pair())
        try:
            done = subprocess.run(
                self.place.command(command), capture_output=True, text=True, timeout=seconds + ANSWER_SECONDS,
                preexec_fn=processes.on_cores(self.cores))
        except subprocess.TimeoutExpired:
            raise BenchmarkFailure(f"{HANDSHAKES} never ended") from None
        if done.returncode != 0:
            raise BenchmarkFailure(f"{HANDSHAKES}: {done.stderr.strip()}")
        found = json.loads(done.stdout)
        return {**found, "cpuSeconds": found.pop("cpuNanoseconds") / 1e9, "residentBytes": 0, "anonymousBytes": 0}

    def _kind(self, name: str):
        """How a candidate is set up, and the binary where it isn't the distribution's."""
        programs = self.programs
        kinds = {
            "sidecar": (sidecar.command, programs.sidecar),
            "sidecar-epoll": (functools.partial(sidecar.command, engine="epoll"), programs.sidecar),
            "haproxy": (haproxy.command, None),
            "nginx": (nginx.command, None),
            "envoy": (envoy.command, programs.envoy),
        }
        for own in (*FLOORS, name):
            if kind_of(own) in FLOORS:
                kinds[own] = (functools.partial(floor.command, kind=own.removeprefix("floor-")), programs.floor)
        for other, path in programs.more_sidecars:
            if other in kinds:
                raise BenchmarkFailure(f"--also {other}: there is one of that name; choose another")
            kinds[other] = (sidecar.command, path)
        if name not in kinds:
            raise BenchmarkFailure(f"there is no candidate {name}; there are direct, {', '.join(kinds)}")
        return kinds[name]

    def _identity_pair(self) -> tuple[Identity, Identity]:
        """The client's and the server's, by the sidecar's own throw-away authority."""
        if self._identities is None:
            directory = self.place.outside("certificates")
            made = subprocess.run(
                [self.programs.sidecar, "dev-certs", "--directory", directory, CLIENT, SERVER],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if made.returncode != 0:
                raise BenchmarkFailure(f"sidecar-proxy dev-certs: {made.stderr.strip()}")
            self._identities = (self._identity("client", CLIENT, SERVER), self._identity("server", SERVER, CLIENT))
        return self._identities

    def _identity(self, name: str, own: str, peer: str) -> Identity:
        """All in one directory, under names that say whose they are."""
        files = {}
        for kind in ("tls.crt", "tls.key", "ca.crt"):
            source = self.place.outside("certificates") / own.split("/", 3)[3] / kind
            files[kind] = self.place.write(f"{name}-{kind}", source.read_text())
        return Identity(files["tls.crt"], files["tls.key"], files["ca.crt"], peer)
