"""The sidecar, as a pod would run it, but for the access log, which nobody else writes either."""

from . import Leg
from ..places import Place


def command(
        leg: Leg, place: Place, engine: str = "io_uring", access_log: str = 'format: "off"') -> list[str]:
    identity = leg.terminates or leg.originates
    listeners = ""
    for index, (port, target) in enumerate(leg.routes):
        listeners += f'  - {{name: route{port}, bind: "127.0.0.1:{port}", target: "127.0.0.1:{target}"'
        # With both, the first route comes in and the second goes out.
        if leg.terminates and not (leg.originates and index > 0):
            listeners += f', direction: inbound, tls: strict, allow: [{{principals: ["{identity.peer}"]}}]}}\n'
        elif leg.originates:
            rule = f'{{destinations: [127.0.0.0/8], tls: strict, principals: ["{identity.peer}"]}}'
            listeners += f", direction: outbound, mesh: [{rule}]}}\n"
        else:
            listeners += ", direction: inbound}\n"
    keys = "" if identity is None else (
        f"identity: {{certificate: {identity.certificate}, privateKey: {identity.private_key}, "
        f"trustBundle: {identity.trust_bundle}}}\n")
    admin, metrics = leg.spare_ports
    text = f"""workers: {leg.workers}
engine: {engine}
drain: {{grace: 0s, deadline: 1s}}
accessLog: {{{access_log}}}
admin: {{bind: "127.0.0.1:{admin}"}}
metrics: {{bind: "127.0.0.1:{metrics}"}}
log: {{level: warning}}
{keys}listeners:
{listeners}"""
    return [place.bring(leg.program), "run", "--config", place.write(f"{leg.name}.yaml", text)]
