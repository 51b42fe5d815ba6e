"""The floor: the bare loop in C over the same system calls, with no configuration, limits, timeouts, metrics or ends to
care for. Not a peer: it shows how low the cost of a relay can be on this machine. The kind `tls`, half of a pair
around libssl that verifies chains, resumes sessions and compares no names, is a reference and no limit; any other kind
is in the clear wherever it stands."""

import pathlib

from . import Identity, Leg
from ..places import Place


def command(leg: Leg, place: Place, kind: str) -> list[str]:
    (port, target), = leg.routes[:1]
    files = []
    if kind.startswith("tls"):
        kind = kind.replace("tls", "tls-terminate" if leg.terminates else "tls-originate", 1)
        identity = leg.terminates or leg.originates
        files = [identity.certificate, identity.private_key, identity.trust_bundle]
    if leg.workers > 1:
        kind += f"+workers={leg.workers}"
    return [place.bring(leg.program), kind, str(port), str(target), *files]


def handshakes(program: pathlib.Path, place: Place, seconds: float, client: Identity, server: Identity) -> list[str]:
    """Nothing but connections between the two, one handshake and one message each way for each, for so long."""
    files = [path for one in (client, server) for path in (one.certificate, one.private_key, one.trust_bundle)]
    return [place.bring(program), "handshakes", str(seconds), *files]
