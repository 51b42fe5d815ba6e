"""The floor: the bare loop in C over the same system calls, with no configuration, limits, timeouts, metrics or ends to
care for. Not a peer: it shows how low the cost of a relay can be on this machine. With mutual TLS it is a pair around libssl
that verifies chains and resumes sessions, and compares no names."""

from . import Leg
from ..places import Place


def command(leg: Leg, place: Place, kind: str) -> list[str]:
    (port, target), = leg.routes[:1]
    files = []
    if identity := leg.terminates or leg.originates:
        kind = kind.replace("tls", "tls-terminate" if leg.terminates else "tls-originate", 1)
        files = [identity.certificate, identity.private_key, identity.trust_bundle]
    if leg.workers > 1:
        kind += f"+workers={leg.workers}"
    return [place.bring(leg.program), kind, str(port), str(target), *files]
