"""The floor: the bare loop in C over the same system calls, with no configuration, limits, timeouts, metrics or ends to
care for. Not a peer: it shows how low the cost of a relay can be on this machine. It knows no TLS: in place of a pair with
mutual TLS stands a pair in the clear, which shows what would be left of the cost if TLS were free."""

from . import Leg
from ..places import Place


def command(leg: Leg, place: Place, kind: str) -> list[str]:
    (port, target), = leg.routes[:1]
    if leg.workers > 1:
        kind += f"+workers={leg.workers}"
    return [place.bring(leg.program), kind, str(port), str(target)]
