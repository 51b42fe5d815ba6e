"""How each proxy is set up: one module per program, each with `command(leg, place)`, which writes its configuration and
returns what to start. Each is set up as its documentation and its maintainers' advice have it for speed: one worker, no
logs, no statistics; TLS 1.3 with AES-128-GCM and X25519, certificates on both sides, sessions resumed. Everybody verifies
the client; nginx doesn't verify its server, and HAProxy doesn't compare its name (see there), which is less work."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Identity:
    """Certificate, key and trust bundle, as paths in the candidate's place, and the SPIFFE ID of the other side."""

    certificate: str
    private_key: str
    trust_bundle: str
    peer: str


@dataclasses.dataclass(frozen=True)
class Leg:
    """One proxy process: what it listens on, where that goes, and which side speaks TLS: neither, one, or one on each of two
    routes."""

    name: str
    routes: tuple[tuple[int, int], ...]
    """Pairs of ports on 127.0.0.1: listen, target."""
    profile: str
    """`messages` or `bulk`: what buffer sizes are for."""
    terminates: Identity | None = None
    originates: Identity | None = None
    workers: int = 1
    connections: int = 4_000
    """At once, that there must be room for."""
    spare_ports: tuple[int, int] = (0, 0)
    """For endpoints that a proxy insists on having."""
    program: pathlib.Path | None = None
    """The binary, where it isn't the distribution's."""
